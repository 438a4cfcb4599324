// GET /v1/status as fast as eight kept connections can ask: the compiled binary, standalone, with its request log on. The asking side
// writes and reads bare sockets, so that it is not what is measured.

import { median, type Row } from "./measure.ts";
import { freePort, served, standaloneAgent } from "./start-up.ts";

const CONNECTIONS = 8;
const ROUNDS = 5;
const ROUND_SECONDS = 2;
/** Requests per second of the Python agent on the same kind of machine, asked in the same way. */
const REFERENCE = 4200;

const REQUEST = "GET /v1/status HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n";

export async function statusRate(binary: string): Promise<Row[]> {
  const port = freePort();
  const agent = standaloneAgent(binary, port);
  try {
    await served(port, agent);
    const rates: number[] = [];
    for (let round = 0; round < ROUNDS; round++) rates.push((await askFor(port)) / ROUND_SECONDS);
    const ours = median(rates);
    return [
      {
        what: "GET /v1/status on 8 connections",
        ours: `${Math.round(ours)}/s`,
        reference: `${REFERENCE}/s`,
        ratio: (ours / REFERENCE).toFixed(1),
        goal: "≥ 5",
      },
    ];
  } finally {
    agent.kill("SIGTERM");
    await agent.exited;
  }
}

/** Answers that came in one round. */
async function askFor(port: number): Promise<number> {
  let answers = 0;
  let over = false;
  const ask = (socket: { write(data: string): number; end(): void }) => {
    if (over) socket.end();
    else socket.write(REQUEST);
  };
  const sockets = Array.from({ length: CONNECTIONS }, () =>
    Bun.connect({
      hostname: "127.0.0.1",
      port,
      socket: {
        open: ask,
        // An answer is some hundred bytes and comes in one piece.
        data(socket, data) {
          if (!data.includes("HTTP/1.1 200")) throw new Error(`not 200: ${data.toString().slice(0, 100)}`);
          answers++;
          ask(socket);
        },
      },
    }),
  );
  await Promise.all(sockets);
  await Bun.sleep(ROUND_SECONDS * 1000);
  over = true;
  return answers;
}
