// Logs in on a machine's console as a person would: name and password typed at the prompts of getty and login.

import { connect } from "node:net";
import { plainText } from "./console.ts";

export class LoginError extends Error {
  override readonly name = "LoginError";
}

/**
 * Leaves a shell at its prompt on the line behind the socket, for runInShell(). Throws LoginError when the password is
 * refused or nobody asks for it within `timeoutMs`.
 */
export async function logIn(
  socketPath: string,
  { user, password }: { user: string; password: string },
  timeoutMs: number,
): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const fail = (reason: string) => reject(new LoginError(`logging in as ${user}: ${reason}`));
  // Each prompt with what is typed at it. The kernel may print in between, so they need not stand at a line's end.
  const dialogue = [
    { prompt: /login: /, typed: user },
    { prompt: /Password: /, typed: password },
    { prompt: /[$#] $/, typed: null },
  ];
  let received = "";
  const socket = connect({ path: socketPath });
  const timer = setTimeout(() => {
    const [next] = dialogue;
    fail(
      `no answer within ${timeoutMs / 1000} s while waiting for ${next?.prompt}; last seen: ${received.slice(-200)}`,
    );
  }, timeoutMs);
  // A prompt that was printed before somebody listened is printed again.
  socket.on("connect", () => socket.write("\r"));
  socket.on("data", (chunk) => {
    received += plainText(chunk.toString("utf8"));
    if (/Login incorrect/.test(received)) return fail("Login incorrect");
    const [next] = dialogue;
    if (next === undefined || !next.prompt.test(received)) return;
    dialogue.shift();
    received = "";
    if (next.typed === null) resolve();
    else socket.write(`${next.typed}\r`);
  });
  socket.on("error", (error) => fail(error.message));
  socket.on("close", () => fail("the connection was closed"));
  try {
    await promise;
  } finally {
    clearTimeout(timer);
    socket.destroy();
  }
}
