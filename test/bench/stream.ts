// Raw streaming beside a script that does what the Python agent does, turn by turn in one run: these machines are noisy, so
// the ratio counts and not the rate. Both write to tmpfs, over loopback, from a server in a process of its own.

import { rm } from "node:fs/promises";
import { mebibytes, median, type Row, rate } from "./measure.ts";

const DIRECTORY = import.meta.dir;
const TARGET = `/dev/shm/ironic-agent-bench-${process.pid}`;
const GIBIBYTE = 1024 ** 3;
const ROUNDS = 5;

type Measured = { seconds: number; digest: string; peak: number };

export async function streaming(python: string): Promise<Row[]> {
  await using server = await contentServer();
  const rows: Row[] = [];
  for (const algorithm of ["sha256", "sha512"]) {
    const ours: Measured[] = [];
    const reference: Measured[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      const measured = await runReference(python, server.url(GIBIBYTE), algorithm);
      reference.push(measured);
      ours.push(await runOurs(server.url(GIBIBYTE), algorithm, measured.digest));
    }
    const [ourTime, referenceTime] = [ours, reference].map((all) =>
      median(all.map(({ seconds }) => seconds)),
    );
    rows.push({
      what: `raw streaming, 1 GiB, ${algorithm}`,
      ours: rate(GIBIBYTE, ourTime ?? 0),
      reference: rate(GIBIBYTE, referenceTime ?? 0),
      ratio: ((referenceTime ?? 0) / (ourTime ?? 1)).toFixed(2),
      goal: "≥ 0.9",
    });
    rows.push(memoryRow("1 GiB", algorithm, ours, reference));
  }
  const large = await runReference(python, server.url(8 * GIBIBYTE), "sha256");
  rows.push(
    memoryRow("8 GiB", "sha256", [await runOurs(server.url(8 * GIBIBYTE), "sha256", large.digest)], [large]),
  );
  return rows;
}

function memoryRow(size: string, algorithm: string, ours: Measured[], reference: Measured[]): Row {
  const peak = (all: Measured[]) => mebibytes(Math.max(...all.map((each) => each.peak)));
  return {
    what: `  its peak memory, ${size}, ${algorithm}`,
    ours: peak(ours),
    reference: peak(reference),
    ratio: "",
    goal: "< 150 MiB",
  };
}

function runReference(python: string, url: string, algorithm: string): Promise<Measured> {
  return measure([python, `${DIRECTORY}/reference-stream.py`, url, TARGET, algorithm]);
}

function runOurs(url: string, algorithm: string, digest: string): Promise<Measured> {
  return measure([process.execPath, "run", `${DIRECTORY}/stream-child.ts`, url, TARGET, algorithm, digest]);
}

async function measure(argv: string[]): Promise<Measured> {
  const child = Bun.spawn(argv, { stdin: "ignore", stdout: "pipe", stderr: "inherit" });
  try {
    const output = await new Response(child.stdout).text();
    if ((await child.exited) !== 0) throw new Error(`${argv.join(" ")}: exit code ${child.exitCode}`);
    return JSON.parse(output);
  } finally {
    await rm(TARGET, { force: true });
  }
}

async function contentServer() {
  const child = Bun.spawn([process.execPath, "run", `${DIRECTORY}/content-server.ts`], {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "inherit",
  });
  const { value } = await child.stdout.getReader().read();
  const port = new TextDecoder().decode(value).trim();
  return {
    url: (bytes: number) => `http://127.0.0.1:${port}/${bytes}`,
    [Symbol.asyncDispose]: async () => {
      child.kill();
      await child.exited;
    },
  };
}
