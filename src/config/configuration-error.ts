// A configuration that the agent cannot start with. Not an error of the API: it ends the process, and its message is the
// one line an operator sees, so it names the option, the value and the place that gave it.

export class ConfigurationError extends Error {
  /** 2 = wrong use of the command line or a wrong value; 1 = an unusable file or kernel parameter. */
  readonly exitCode: 1 | 2;

  constructor(message: string, exitCode: 1 | 2) {
    super(message);
    this.exitCode = exitCode;
  }
}
