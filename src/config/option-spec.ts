// What an entry of the option table can say, and the value types that follow from it, so that
// `config.get("listen_port")` is a number and `config.get("cafile")` a string or null without a cast anywhere.

type OptionBase = {
  /** Kernel parameter, exactly as on the kernel line; none = cannot be set there. */
  readonly kernel?: string;
  /** An older name of the kernel parameter; using it is worth a warning. */
  readonly oldKernel?: string;
  /** First release of the reference that has it; "own" = only this agent has it. */
  readonly since: string;
  /** Never shown or logged. */
  readonly secret?: true;
  /** Other names of the same option in files, as `key` or `group.key`. */
  readonly fileAliases?: readonly string[];
  /** Other long names on the command line, spelled with underscores. */
  readonly cliAliases?: readonly string[];
  /** One letter. */
  readonly short?: string;
  /** One sentence for people: --help and the documentation. */
  readonly help: string;
  /** Why setting it changes nothing, for good; setting it is worth a warning. */
  readonly ignored?: string;
  /** The same for what this release of the agent cannot do yet. */
  readonly notYet?: string;
};

/** One option. A default of null means "not set", and makes null part of the value's type. */
export type OptionSpec =
  | (OptionBase & { readonly type: "bool"; readonly default: boolean | null })
  | (OptionBase & {
      readonly type: "int";
      readonly default: number;
      readonly min: number;
      readonly max?: number;
    })
  | (OptionBase & { readonly type: "float"; readonly default: number; readonly min: number })
  | (OptionBase & { readonly type: "port"; readonly default: number })
  | (OptionBase & {
      readonly type: "string";
      readonly default: string | null;
      readonly choices?: readonly string[];
      /** `form` says in words what `pattern` wants. */
      readonly pattern?: RegExp;
      readonly form?: string;
    })
  | (OptionBase & { readonly type: "list"; readonly default: readonly string[] | null });

/** Option specs by name: `name` for [DEFAULT], `group.name` for the others. */
export type OptionTable = { readonly [name: string]: OptionSpec };

type Nullable<S extends OptionSpec> = S["default"] extends null ? null : never;

/** The type of an option's value. */
export type ValueOf<S extends OptionSpec> = S extends { readonly type: "bool" }
  ? boolean | Nullable<S>
  : S extends { readonly type: "int" | "float" | "port" }
    ? number
    : S extends { readonly type: "list" }
      ? readonly string[] | Nullable<S>
      : S extends { readonly choices: readonly (infer Choice)[] }
        ? Choice | Nullable<S>
        : string | Nullable<S>;
