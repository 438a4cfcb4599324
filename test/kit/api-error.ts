// An error answer of the Ironic API. Its body is JSON whose `error_message` is a string that holds JSON again: an
// accident of Ironic's middleware which agents have to live with, so it is kept here.

export class ApiError extends Error {
  override readonly name = "ApiError";
  readonly status: number;
  readonly fault: Record<string, unknown>;
  readonly headers: Record<string, string>;

  constructor(status: number, message: string, fault?: Record<string, unknown>, headers = {}) {
    super(message);
    this.status = status;
    this.fault = fault ?? {
      faultcode: status >= 500 ? "Server" : "Client",
      faultstring: message,
      debuginfo: null,
    };
    this.headers = headers;
  }

  /** A refused microversion has a body of its own form. */
  static notAcceptable(message: string, headers: Record<string, string>): ApiError {
    return new ApiError(406, message, { code: 406, title: "Not Acceptable", description: message }, headers);
  }

  static badRequest(message: string): ApiError {
    return new ApiError(400, message);
  }

  /** The same for an unknown node, a state that refuses, and a version that is too old: it is not to be told apart. */
  static notFound(): ApiError {
    return new ApiError(404, "Resource could not be found.");
  }

  toResponse(): Response {
    return Response.json(
      { error_message: JSON.stringify(this.fault) },
      { status: this.status, headers: this.headers },
    );
  }
}
