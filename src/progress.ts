// What long work tells about itself. The command that runs it publishes the latest report on its result.

/** `done` and `total` count `unit`s; null means not known. `rate` is units per second. */
export type Progress = {
  phase: string;
  done: number | null;
  total: number | null;
  unit: string;
  rate: number | null;
};

export type ReportProgress = (progress: Progress) => void;
