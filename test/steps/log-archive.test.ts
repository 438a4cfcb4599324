import { expect, test } from "bun:test";
import { gunzipSync } from "node:zlib";
import { unpackTar } from "modern-tar";
import { ARCHIVE_LIMITS, type ArchiveLimits, LogArchive } from "../../src/steps/log-archive.ts";
import { type Recording, recordedSystem } from "../support/recorded-system.ts";

const MEBIBYTE = 1024 * 1024;

async function archive(
  limits: Partial<ArchiveLimits>,
  recording: Recording,
  fill: (archive: LogArchive) => Promise<unknown>,
): Promise<{ size: number; members: Map<string, string> }> {
  const made = new LogArchive(recordedSystem(recording), { ...ARCHIVE_LIMITS, ...limits });
  await fill(made);
  const bytes = await made.finish();
  const entries = await unpackTar(gunzipSync(bytes));
  const text = (data: Uint8Array | undefined) => Buffer.from(data ?? []).toString();
  return {
    size: bytes.length,
    members: new Map(entries.map(({ header, data }) => [header.name, text(data)])),
  };
}

test("of a long member the last whole lines are kept, text or file, and the notes say so", async () => {
  const long = "agent_token=S3CRET\nline 2\nEND";
  const { members } = await archive({ member: 16 }, { files: { "/log": long } }, async (made) => {
    await made.addFile("log", "/log");
    await made.addText("text", long);
    await made.addText("short", "0123456789");
  });
  expect(Object.fromEntries(members)).toEqual({
    log: "line 2\nEND",
    text: "line 2\nEND",
    short: "0123456789",
    "collection-notes": "log: only the last 16 of 29 bytes\ntext: only the last 16 of 29 bytes\n",
  });
});

test("what goes beyond the whole is left out, what still fits is taken", async () => {
  const { members } = await archive({ total: 10 }, {}, async (made) => {
    await made.addText("first", "12345678");
    await made.addText("second", "12345678");
    await made.addText("third", "12");
  });
  expect([...members.keys()]).toEqual(["first", "third", "collection-notes"]);
  expect(members.get("collection-notes")).toBe("second: left out (8 bytes), because the archive is full\n");
});

test("what cannot be compressed fills the archive, whatever the members' size", async () => {
  const noise = new Uint8Array(2 * MEBIBYTE);
  for (let at = 0; at < noise.length; at += 65_536) crypto.getRandomValues(noise.subarray(at, at + 65_536));
  const { size, members } = await archive(
    { archive: MEBIBYTE },
    { files: { "/noise": noise } },
    async (made) => {
      for (let n = 0; n < 20; n++) await made.addFile(`noise-${n}`, "/noise");
    },
  );
  expect(size).toBeGreaterThan(MEBIBYTE);
  expect(size).toBeLessThan((1 + 2 + 8 + 1) * MEBIBYTE);
  expect(members.get("collection-notes")).toContain("noise-19: left out");
});

test("a second member of a name is ignored, and an empty archive is one", async () => {
  const { members } = await archive({}, {}, async (made) => {
    await made.addText("a", "first");
    await made.addText("a", "second");
    await made.addText("", "");
  });
  expect(members.get("a")).toBe("first");
  expect((await archive({}, {}, async () => undefined)).members.size).toBe(0);
});

test("secrets are masked wherever the text is cut into pieces, and every other byte stays", async () => {
  const line = "GET /v1/commands/?agent_token=S3CRET HTTP/1.1 \u00e9\u5bc6\n";
  const text = line.repeat(60_000);
  const { members } = await archive({}, {}, (made) => made.addText("long", text));
  expect(members.get("long")).toBe(text.replaceAll("S3CRET", "******"));
});
