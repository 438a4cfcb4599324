import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { HardwareManagerConfigurationError } from "../../../src/errors.ts";
import { parseContainerSteps, readContainerSteps } from "../../../src/hardware/containers/steps-file.ts";
import { UnusableContainerError } from "../../../src/steps/container-request.ts";
import { FileError } from "../../../src/system/files.ts";
import { recordedSystem } from "../../support/recorded-system.ts";
import { rejection, thrower } from "../../support/rejection.ts";

const STEP = {
  name: "burn",
  image: "quay.io/site/burn:1",
  interface: "deploy",
  priority: 20,
  reboot_requested: false,
  abortable: true,
};
/** JSON is YAML. */
const file = (...steps: object[]) => JSON.stringify({ steps });

test("a file as an operator writes it", () => {
  const text = `
# Our steps.
steps:
  - name: burn
    image: docker://quay.io/site/burn:1
    interface: deploy
    reboot_requested: no      # as in YAML 1.1
    abortable: yes
    priority: 20
    run_options: --rm -v /dev:/dev
    pull_options:
      - --quiet
      - --tls-verify=false
  - {name: upgrade_bmc, image: "registry:5000/bmc", interface: management, reboot_requested: true, abortable: false, priority: 0}
`;
  expect(parseContainerSteps(text)).toEqual([
    {
      ...{ name: "burn", priority: 20, interface: "deploy", reboot_requested: false, abortable: true },
      container: {
        image: "docker://quay.io/site/burn:1",
        runOptions: ["--rm", "-v", "/dev:/dev"],
        pullOptions: ["--quiet", "--tls-verify=false"],
      },
    },
    {
      name: "upgrade_bmc",
      priority: 0,
      interface: "management",
      reboot_requested: true,
      abortable: false,
      container: { image: "registry:5000/bmc" },
    },
  ] as never);
});

test("no file, an empty one, and one with nothing in its list have no steps", async () => {
  expect(await readContainerSteps(recordedSystem(), "/etc/steps.yaml")).toEqual([]);
  for (const text of ["", "---\n", "# nothing yet\n", "steps:\n", "steps: []\n"])
    expect(parseContainerSteps(text)).toEqual([]);
});

describe("what is wrong with a file is said", () => {
  const cases: [string, string][] = [
    ["steps: [", "it is no YAML: "],
    ["a: 1\na: 2\n", "keys must be unique"],
    ["---\nsteps: []\n---\nsteps: []\n", "it is no YAML: "],
    ["steps: !!python/object/apply:os.system [reboot]\n", "Unresolved tag"],
    ["- steps\n", 'a mapping with the key "steps"'],
    ["step: []\n", 'a mapping with the key "steps"'],
    ["steps: {a: b}\n", '"steps" must be a list'],
    ["steps: [burn]\n", "step 1 must be a mapping"],
    [file({ ...STEP, name: undefined }), "step 1 has no name"],
    [file({ ...STEP, image: undefined, priority: undefined }), 'step "burn" has no image, priority'],
    [file({ ...STEP, name: 7 }), "step 1: name must be text, not 7"],
    [
      file({ ...STEP, priority: true }),
      'step "burn": priority must be a whole number of 0 or more, not true',
    ],
    [file({ ...STEP, priority: -1 }), "priority must be"],
    [file({ ...STEP, interface: 1 }), "interface must be text"],
    [file({ ...STEP, reboot_requested: "no" }), 'reboot_requested must be true or false, not "no"'],
    [file({ ...STEP, abortable: null }), "abortable must be true or false, not null"],
    [
      file({ ...STEP, image: "--privileged" }),
      'step "burn": image "--privileged" is no name of a container image',
    ],
    [file({ ...STEP, image: "" }), "is no name of a container image"],
    [file({ ...STEP, run_options: [1] }), 'step "burn": run_options must be text or a list of texts'],
    [file({ ...STEP, run_options: "evil" }), 'step "burn": run_options: "evil" does not belong to an option'],
    [file(STEP, STEP), 'two steps with the name "burn"'],
  ];
  test.each(cases)("%j", (text, message) => {
    expect(() => parseContainerSteps(text)).toThrow(message);
    expect(() => parseContainerSteps(text)).toThrow(UnusableContainerError);
  });

  test("with the file's name", async () => {
    const system = recordedSystem({ files: { "/etc/steps.yaml": "steps: [" } });
    const read = readContainerSteps(system, "/etc/steps.yaml");
    expect(await rejection(read)).toBeInstanceOf(HardwareManagerConfigurationError);
    expect(await thrower(read)).toThrow(
      "The file of container steps /etc/steps.yaml cannot be used: it is no YAML",
    );
  });

  test("also of one that cannot be read", async () => {
    const system = recordedSystem();
    const files = {
      ...system.files,
      readText: async (path: string) => {
        throw new FileError("reading", path, "EACCES");
      },
    };
    expect(await rejection(readContainerSteps({ ...system, files }, "/etc/steps.yaml"))).toBeInstanceOf(
      HardwareManagerConfigurationError,
    );
  });
});

test("aliases that would grow without end are no YAML", () => {
  const levels = ["a: &a [x,x,x,x,x,x,x,x,x]"];
  for (const [above, name] of ["ab", "bc", "cd", "de", "ef"].map((pair) => [...pair]))
    levels.push(`${name}: &${name} [${Array(9).fill(`*${above}`).join(",")}]`);
  expect(() => parseContainerSteps(levels.join("\n"))).toThrow("Excessive alias count");
});

test("whatever is in a file, its steps are whole, or it is refused", () => {
  const line = fc.oneof(
    fc.string(),
    fc.constantFrom(
      "steps:",
      "- name: a",
      "  image: b",
      "  priority: 1",
      "  interface: deploy",
      "  abortable: on",
      "  reboot_requested: off",
    ),
  );
  const text = fc.oneof(
    fc.string(),
    fc.array(line).map((lines) => lines.join("\n")),
    fc.json(),
    fc
      .record({ name: fc.jsonValue(), image: fc.jsonValue(), run_options: fc.jsonValue() })
      .map((step) => file({ ...STEP, ...step })),
  );
  fc.assert(
    fc.property(text, (content) => {
      try {
        for (const { name, priority, container } of parseContainerSteps(content)) {
          expect(name).not.toBe("");
          expect(priority).toBeGreaterThanOrEqual(0);
          expect(container.image).toMatch(/^[^-\s]\S*$/);
        }
      } catch (error) {
        if (!(error instanceof UnusableContainerError)) throw error;
      }
    }),
  );
});
