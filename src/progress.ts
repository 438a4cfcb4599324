// What long work tells about itself. The command that runs it publishes the latest report on its result.

/** `done` and `total` count `unit`s; null means not known. `rate` is units per second. */
export type Progress = {
  phase: string;
  done: number | null;
  total: number | null;
  unit: string;
  rate: number | null;
  /** Estimated seconds to the end, from who has a better idea of it than done, total and rate tell; null if nobody knows. */
  remaining?: number | null;
};

export type ReportProgress = (progress: Progress) => void;
