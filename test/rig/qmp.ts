// QEMU's machine protocol (docs/interop/qmp-spec): JSON lines over a unix socket. Only what the rig asks for: connect,
// run a command, wait for its answer. Events are ignored; the end of the process tells that a machine went off.

import { connect, type Socket } from "node:net";
import { createInterface } from "node:readline";

interface QmpReply {
  QMP?: unknown;
  return?: unknown;
  error?: { class: string; desc: string };
  event?: string;
}

export class QmpError extends Error {
  override readonly name = "QmpError";
}

/** One connection; commands run one after the other. */
export class QmpConnection implements Disposable {
  readonly #socket: Socket;
  readonly #replies: AsyncIterator<string>;
  #last: Promise<unknown> = Promise.resolve();

  private constructor(socket: Socket) {
    this.#socket = socket;
    this.#replies = createInterface({ input: socket })[Symbol.asyncIterator]();
  }

  /** Connects and negotiates. Throws when nobody listens on the socket (yet). */
  static async connect(path: string): Promise<QmpConnection> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const socket = connect({ path });
    socket.once("connect", () => resolve());
    socket.once("error", reject);
    await promise;
    socket.on("error", () => {
      // QEMU going away is no fault of the connection; a command that waits sees the end of its input.
    });
    const connection = new QmpConnection(socket);
    await connection.#next("greeting", (reply) => reply.QMP !== undefined);
    await connection.execute("qmp_capabilities");
    return connection;
  }

  execute(command: string, args: Record<string, unknown> = {}): Promise<unknown> {
    const turn = this.#last.then(async () => {
      this.#socket.write(`${JSON.stringify({ execute: command, arguments: args })}\n`);
      const reply = await this.#next(command, ({ event }) => event === undefined);
      if (reply.error !== undefined) throw new QmpError(`QEMU refused ${command}: ${reply.error.desc}`);
      return reply.return;
    });
    this.#last = turn.catch(() => {
      // The caller gets the error; the next command may still be tried.
    });
    return turn;
  }

  [Symbol.dispose](): void {
    this.#socket.destroy();
  }

  async #next(what: string, wanted: (reply: QmpReply) => boolean): Promise<QmpReply> {
    for (;;) {
      const { value, done } = await this.#replies.next();
      if (done === true) throw new QmpError(`QEMU closed the connection while waiting for: ${what}`);
      const reply = JSON.parse(value) as QmpReply;
      if (wanted(reply)) return reply;
    }
  }
}
