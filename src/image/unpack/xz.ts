// xz by XZ Embedded in WebAssembly (xz-decompress): it works wherever the executable does, with or without xz in the ramdisk, at
// about half of the program's speed. Dictionaries of up to 64 MiB, which is what xz -9 makes; several streams in a row.

import { XzReadableStream } from "xz-decompress";
import { drain, UnpackError } from "./unpack-error.ts";

/** Of the decoder's xz_ret codes, those that an image can bring about. */
const WORDS: Readonly<Record<string, string>> = {
  "2": "its integrity check is of a kind that is not supported; pack it with --check=crc64",
  "3": "there is no memory for its dictionary",
  "4": "its dictionary is larger than 64 MiB; pack it with -9 or less",
  "5": "something that is no xz stream follows in it",
  "6": "it uses filters or options that are not supported",
  "7": "it is damaged",
  "8": "it ends too early",
};

export async function* unpackXz(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void, void> {
  const source = chunks[Symbol.asyncIterator]();
  const fault: { error?: unknown } = {};
  const input = new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        try {
          const { done, value } = await source.next();
          if (done) controller.close();
          else controller.enqueue(value);
        } catch (error) {
          fault.error = error;
          throw error;
        }
      },
    },
    // The source may fill its buffer anew when asked for more, so nothing is fetched before the decoder has used up what it has.
    { highWaterMark: 0 },
  );
  const output = new XzReadableStream(input).getReader();
  try {
    for (let next = await output.read(); !next.done; next = await output.read())
      if (next.value.length > 0) yield next.value;
  } catch (error) {
    if ("error" in fault) throw fault.error;
    await drain(source);
    throw new UnpackError(inWords(error), { cause: error });
  } finally {
    // Frees the decoder, of which there is one in the process; it has failed already, or is at its end.
    await output.cancel().catch(() => undefined);
    await source.return?.();
  }
}

function inWords(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  return WORDS[/error code (\d+)$/.exec(message)?.[1] ?? ""] ?? message;
}
