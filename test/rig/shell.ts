// Runs a command in the root shell that the ramdisk offers on its second serial port. A serial line has no end of file and
// echoes what is typed, so each command's output is put between two lines that the echo cannot look like.

import { connect } from "node:net";
import { plainText } from "./console.ts";

export class ShellError extends Error {
  override readonly name = "ShellError";
}

/** Output (both streams) of a command that exited 0. Throws ShellError otherwise, or when nobody answers in time. */
export async function runInShell(socketPath: string, command: string, timeoutMs: number): Promise<string> {
  const id = crypto.randomUUID().slice(0, 8);
  const end = new RegExp(`^BEGIN-${id}$([^]*)^END-${id} (\\d+)$`, "m");
  const { promise, resolve, reject } = Promise.withResolvers<{ output: string; code: number }>();
  const socket = connect({ path: socketPath });
  const fail = (reason: string) => reject(new ShellError(`"${command}" in the machine's shell: ${reason}`));
  const timer = setTimeout(() => fail(`no answer within ${timeoutMs / 1000} s`), timeoutMs);
  let received = "";
  socket.on("connect", () =>
    socket.write(`echo "BEGIN""-${id}"; { ${command}\n} 2>&1; echo "END""-${id} $?"\n`),
  );
  socket.on("data", (chunk) => {
    received += chunk.toString("utf8");
    const match = end.exec(plainText(received));
    if (match !== null) resolve({ output: (match[1] ?? "").trim(), code: Number(match[2]) });
  });
  socket.on("error", (error) => fail(error.message));
  socket.on("close", () => fail("the connection was closed"));
  try {
    const { output, code } = await promise;
    if (code !== 0) throw new ShellError(`"${command}" ended with exit code ${code}: ${output}`);
    return output;
  } finally {
    clearTimeout(timer);
    socket.destroy();
  }
}
