// Whatever a client sends as parameters, of any command: it is refused as the client's fault, or it becomes a command with a result that
// can be listed. Nothing hangs, and no error of the language's own shows.

import { expect, test } from "bun:test";
import fc from "fast-check";
import { InvalidContentError } from "../../src/errors.ts";
import { EXTENSIONS } from "../../src/extensions/extensions.ts";
import type { JsonObject } from "../../src/json.ts";
import { fixture, step } from "./fixture.ts";

const COMMANDS = EXTENSIONS.flatMap(({ name, commands }) =>
  [...commands.keys()].map((command) => `${name}.${command}`),
);

/** Names that commands know, so that the values get further than the check for what is missing. */
const KNOWN = [
  "step node ports flow image_info configdrive force root_uuid efi_system_part_uuid prep_boot_part_uuid",
  "target_boot_mode ignore_bootloader_failure rescue_password hashed node_info clean_version deploy_version",
  "iqn portal_port wipe_disk_metadata id urls checksum os_hash_algo os_hash_value args interface uuid",
]
  .join(" ")
  .split(" ");

const value = fc.letrec((tie) => ({
  any: fc.oneof(
    { depthSize: "small" },
    fc.constantFrom(
      null,
      true,
      false,
      "",
      "x",
      "******",
      "http://images.example/i",
      "d".repeat(64),
      0,
      -1,
      1.5,
    ),
    fc.string(),
    fc.array(tie("any"), { maxLength: 3 }),
    tie("object"),
  ),
  object: fc.dictionary(fc.oneof(fc.constantFrom(...KNOWN, ...COMMANDS), fc.string()), tie("any"), {
    maxKeys: 6,
  }),
}));

// control-plane 11.36 and 11.38, contract 10.22, 10.23, 10.27, 10.31, 10.37
test("every command takes every object for parameters", async () => {
  await fc.assert(
    fc.asyncProperty(fc.constantFrom(...COMMANDS), value.object, async (name, params) => {
      const { registry } = await fixture({ steps: [step("x", async () => null)] });
      try {
        const { id } = await registry.execute(name, params as JsonObject);
        const result = await registry.wait(id);
        expect(["SUCCEEDED", "FAILED", "CLEAN_VERSION_MISMATCH"]).toContain(result.command_status);
        expect(result.command_error?.type ?? null).not.toBe("TypeError");
        expect(result.command_name).toBe(name.slice(name.indexOf(".") + 1));
        expect(JSON.parse(JSON.stringify(registry.results()))).toEqual([result]);
      } catch (error) {
        expect(error).toBeInstanceOf(InvalidContentError);
        expect((error as InvalidContentError).code).toBe(400);
        expect(registry.results()).toEqual([]);
      }
      // Whatever it was, the next command is taken.
      expect((await registry.execute("test.echo_sync", { value: 1 })).command_result).toBe(1);
    }),
    { numRuns: 200 },
  );
}, 60_000);
