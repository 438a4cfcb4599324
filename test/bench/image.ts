// Images onto a disk, beside a script that does what the Python agent does, turn by turn in one run: these machines are noisy, so the
// ratios count and not the rates. The disk is a loop device without a page cache of its own; both sides end when it has everything. The
// server is nginx on loopback, as conductors use it.
//
//   bun run test/bench/image.ts [--rounds N] [--scratch DIRECTORY] [NAME …]

import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdtemp, open, rm, writeFile } from "node:fs/promises";
import { cpus, totalmem } from "node:os";
import { parseArgs } from "node:util";
import { mebibytes, median, type Row, seconds, table } from "./measure.ts";

const DIRECTORY = import.meta.dir;
const MEBIBYTE = 1024 ** 2;
const GIBIBYTE = 1024 ** 3;

type Measured = { seconds: number; digest: string; peak: number };
type Case = {
  readonly name: string;
  readonly what: string;
  readonly image: "dense" | "sparse" | "qcow2" | "packed";
  readonly algorithm: string;
  readonly goal: string;
};

const CASES: readonly Case[] = [
  {
    name: "dense-sha256",
    what: "dense raw, 2 GiB, SHA-256",
    image: "dense",
    algorithm: "sha256",
    goal: "≥ 1.2",
  },
  {
    name: "dense-sha512",
    what: "dense raw, 2 GiB, SHA-512",
    image: "dense",
    algorithm: "sha512",
    goal: "≥ 1.0",
  },
  {
    name: "sparse",
    what: "raw, 8 GiB with 1 GiB of data",
    image: "sparse",
    algorithm: "sha256",
    goal: "≥ 3",
  },
  { name: "qcow2", what: "qcow2 of it", image: "qcow2", algorithm: "sha256", goal: "≥ 2" },
  { name: "packed", what: "qcow2 of it, compressed", image: "packed", algorithm: "sha256", goal: "" },
];

const { values, positionals } = parseArgs({
  options: { rounds: { type: "string", default: "3" }, scratch: { type: "string", default: "/tmp" } },
  allowPositionals: true,
});
const rounds = Number(values.rounds);
const chosen = CASES.filter(({ name }) => positionals.length === 0 || positionals.includes(name));

const running = new Set<Bun.Subprocess>();

async function run(...argv: string[]): Promise<string> {
  const child = Bun.spawn(argv, { stdin: "ignore", stdout: "pipe", stderr: "inherit" });
  running.add(child);
  const output = await new Response(child.stdout).text();
  await child.exited;
  running.delete(child);
  if (child.exitCode !== 0) throw new Error(`${argv.join(" ")}: exit code ${child.exitCode}`);
  return output;
}

/** A file of `size` bytes, of which 64 MiB out of each `every` are random: no zeros to skip, nothing to compress. */
async function makeImage(path: string, size: number, every: number): Promise<void> {
  const block = Buffer.alloc(64 * MEBIBYTE);
  for (let at = 0; at < block.length; at += 65_536) crypto.getRandomValues(block.subarray(at, at + 65_536));
  await using file = await open(path, "w");
  await file.truncate(size);
  for (let at = 0; at < size; at += every) {
    block.writeDoubleLE(at + 1, 0);
    await file.write(block, 0, block.length, at);
  }
}

async function makeImages(directory: string): Promise<void> {
  await makeImage(`${directory}/dense`, 2 * GIBIBYTE, 64 * MEBIBYTE);
  await makeImage(`${directory}/sparse`, 8 * GIBIBYTE, 512 * MEBIBYTE);
  const convert = ["qemu-img", "convert", "-f", "raw", "-O", "qcow2"];
  await run(...convert, `${directory}/sparse`, `${directory}/qcow2`);
  await run(...convert, "-c", `${directory}/sparse`, `${directory}/packed`);
}

async function digestOf(path: string, algorithm: string): Promise<string> {
  const hash = createHash(algorithm);
  for await (const chunk of createReadStream(path, { highWaterMark: MEBIBYTE })) hash.update(chunk);
  return hash.digest("hex");
}

async function webServer(root: string) {
  const port = 20_000 + (process.pid % 20_000);
  const configuration = `${root}/nginx.conf`;
  await writeFile(
    configuration,
    `worker_processes 1; error_log /dev/null; pid ${root}/nginx.pid; daemon off; user root;
     events {}
     http { access_log off; sendfile on; server { listen 127.0.0.1:${port}; root ${root}; } }\n`,
  );
  const child = Bun.spawn(["nginx", "-e", "/dev/null", "-c", configuration], {
    stdin: "ignore",
    stdout: "ignore",
    stderr: "inherit",
  });
  const url = `http://127.0.0.1:${port}`;
  for (let tries = 0; ; tries++) {
    const up = await fetch(url).then(
      () => true,
      () => false,
    );
    if (up) break;
    if (tries > 100 || child.exitCode !== null) throw new Error("nginx does not start");
    await Bun.sleep(50);
  }
  return {
    url,
    [Symbol.asyncDispose]: async () => {
      child.kill();
      await child.exited;
    },
  };
}

async function disk(directory: string) {
  const backing = `${directory}/disk`;
  await run("fallocate", "-l", String(8 * GIBIBYTE), backing);
  const path = (await run("losetup", "--find", "--show", "--direct-io=on", backing)).trim();
  return {
    path,
    /** The same start for everybody: room for all of it, and nothing left to be written. */
    reset: async () => {
      await run("fallocate", "--zero-range", "-o", "0", "-l", String(8 * GIBIBYTE), backing);
      await run("blockdev", "--flushbufs", path);
      await run("sync", backing);
    },
    [Symbol.asyncDispose]: async () => {
      await run("losetup", "--detach", path);
    },
  };
}

// A Ctrl-C leaves no loop device behind.
for (const signal of ["SIGINT", "SIGTERM"] as const)
  process.on(signal, () => {
    for (const child of running) child.kill();
  });

const directory = await mkdtemp(`${values.scratch}/bench-image-`);
const rows: Row[] = [];
try {
  console.error("making images …");
  await makeImages(directory);
  await using server = await webServer(directory);
  await using device = await disk(directory);
  for (const { what, image, algorithm, goal } of chosen) {
    console.error(`measuring: ${what} …`);
    const url = `${server.url}/${image}`;
    const format = image === "dense" || image === "sparse" ? "raw" : "qcow2";
    const digest = await digestOf(`${directory}/${image}`, algorithm);
    const [ours, reference]: [Measured[], Measured[]] = [[], []];
    for (let round = 0; round < rounds; round++) {
      await device.reset();
      const python = ["/usr/bin/python3", `${DIRECTORY}/reference-image.py`];
      reference.push(JSON.parse(await run(...python, url, device.path, algorithm, format)));
      if (reference.at(-1)?.digest !== digest) throw new Error(`${what}: the reference got something else`);
      await device.reset();
      const child = [process.execPath, "run", `${DIRECTORY}/image-child.ts`];
      ours.push(JSON.parse(await run(...child, url, device.path, algorithm, digest, format)));
    }
    const [our, their] = [ours, reference].map((all) => median(all.map((each) => each.seconds)));
    const ratio = (their ?? 0) / (our ?? 1);
    const peak = (all: Measured[]) => Math.max(...all.map((each) => each.peak));
    const row = {
      what,
      ours: seconds(our ?? 0),
      reference: seconds(their ?? 0),
      ratio: ratio.toFixed(2),
      goal,
    };
    rows.push(row, {
      what: "  its peak memory",
      ours: mebibytes(peak(ours)),
      reference: mebibytes(peak(reference)),
      ratio: "",
      goal: "< 200 MB",
    });
    console.error(JSON.stringify(row));
  }
} finally {
  await rm(directory, { recursive: true });
}
const [cpu] = cpus();
console.log(
  `${cpus().length} × ${cpu?.model ?? "unknown processor"}, ${mebibytes(totalmem())} of memory; median of ${rounds}\n`,
);
console.log(table(rows));
