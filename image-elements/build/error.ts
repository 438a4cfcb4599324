/** Something the user can act on, in one line. */
export class BuildError extends Error {
  override readonly name = "BuildError";
}
