// hardware 13.92, control-plane 11.100: the list of allowed images holds, whatever comes with a step.

import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { Config } from "../../src/config/config.ts";
import { ContainerNotPermittedError, InvalidCommandParamsError } from "../../src/errors.ts";
import type { Json, JsonObject } from "../../src/json.ts";
import {
  type ContainerSettings,
  containerSettings,
  givenOptions,
  optionWords,
  requestedContainer,
  UnusableContainerError,
} from "../../src/steps/container-request.ts";

const SETTINGS: ContainerSettings = {
  arbitrary: false,
  allowed: ["quay.io/site/burn:1", "docker://registry:5000/fw@sha256:00"],
  pullOptions: [],
  runOptions: ["--rm", "--network=host"],
};

const refused = (args: JsonObject, settings = SETTINGS) => {
  try {
    requestedContainer(args, settings);
  } catch (error) {
    return error;
  }
  throw new Error("it was permitted");
};

describe("the list of allowed images", () => {
  test("has exactly what is in it, with and without the prefixes, and the configured options", () => {
    const configured = { pullOptions: [], runOptions: ["--rm", "--network=host"] };
    const images = [
      "quay.io/site/burn:1",
      "docker://quay.io/site/burn:1",
      "oci://quay.io/site/burn:1",
      "registry:5000/fw@sha256:00",
    ];
    for (const image of images)
      expect(
        requestedContainer(
          { container_url: image, run_options: "--privileged", pull_options: ["-q"] },
          SETTINGS,
        ),
      ).toEqual({ image, ...configured });
  });

  test("has nothing that is only nearly in it", () => {
    const images = [
      ...[
        "quay.io/site/burn",
        "quay.io/site/burn:10",
        "quay.io/site/burn:1/",
        "Quay.io/site/burn:1",
        "site/burn:1",
      ],
      ...[
        "quay.io/site/./burn:1",
        "docker-archive:quay.io/site/burn:1",
        "docker://docker://quay.io/site/burn:1",
      ],
      ...["evil.example/x", "https://quay.io/site/burn:1", "registry:5000/fw", "*", "quay.io/site/burn:1%20"],
    ];
    for (const image of images) {
      const error = refused({ container_url: image });
      expect(error).toBeInstanceOf(ContainerNotPermittedError);
      expect((error as ContainerNotPermittedError).serialize()).toEqual({
        type: "ContainerNotPermittedError",
        code: 500,
        message: "Container image not permitted",
        details: `Container image ${image} is not in [container]allowed_containers and [container]allow_arbitrary_containers is not enabled.`,
      });
    }
    expect(refused({ container_url: "a" }, { ...SETTINGS, allowed: [] })).toBeInstanceOf(
      ContainerNotPermittedError,
    );
  });

  test("cannot be got around by arguments that no step has", () => {
    for (const name of [
      "trusted",
      "_trusted",
      "allow_arbitrary_containers",
      "arbitrary",
      "image",
      "__proto__",
    ])
      expect(refused({ container_url: "evil.example/x", [name]: true })).toBeInstanceOf(
        ContainerNotPermittedError,
      );
  });
});

test("what the runner would take for an option, or for more than an image, is refused even where every image is allowed", () => {
  const settings = { ...SETTINGS, arbitrary: true };
  const images: Json[] = [
    ...[
      "--privileged",
      "-v/:/host",
      "docker://--privileged",
      "oci://-x",
      "a b",
      "a\tb",
      "a\n",
      " a",
      "a\u0000b",
    ],
    ...["", "docker://", null, 5, true, ["a"], { url: "a" }],
  ];
  for (const image of images)
    expect(refused({ container_url: image }, settings)).toBeInstanceOf(InvalidCommandParamsError);
  expect(refused({}, settings)).toBeInstanceOf(InvalidCommandParamsError);
});

test("where every image is allowed the given options count, and the configured ones where none are given", () => {
  const settings = { ...SETTINGS, arbitrary: true };
  const request = (args: JsonObject) => requestedContainer({ container_url: "any", ...args }, settings);
  expect(request({ run_options: "-v /dev:/dev  --rm" }).runOptions).toEqual(["-v", "/dev:/dev", "--rm"]);
  expect(request({ run_options: ["--rm", "--env A=b"] }).runOptions).toEqual(["--rm", "--env", "A=b"]);
  // As to the reference: nothing is said by an empty text or list.
  for (const empty of [[], "", " ", [""]])
    expect(request({ run_options: empty, pull_options: empty })).toEqual(request({}));
  expect(request({ run_options: null }).runOptions).toEqual(["--rm", "--network=host"]);
  expect(request({ pull_options: "--quiet" })).toMatchObject({
    pullOptions: ["--quiet"],
    runOptions: ["--rm", "--network=host"],
  });
});

describe("options", () => {
  test("with a word that would be run as the image are refused", () => {
    const stray: Json[] = [
      ...["evil.example/x", "--env=A=hello world", "--env A=b evil", '--label "a b"', "--rm -- evil", "--"],
      ...[["evil.example/x"], ["--rm", "--"], ["--env=A=b", "evil"], ["--env", "A=b", "evil -x"]],
    ];
    for (const options of stray)
      expect(() => optionWords("run_options", options)).toThrow("would be run as the image");
    expect(
      refused({ container_url: "any", run_options: "evil.example/x" }, { ...SETTINGS, arbitrary: true }),
    ).toBeInstanceOf(InvalidCommandParamsError);
  });

  test("have white space in a value only in a list", () => {
    const given: [Json, string[]][] = [
      [["--rm --network=host"], ["--rm", "--network=host"]],
      [
        ["--env=GREETING=hello world", "-v /dev:/dev"],
        ["--env=GREETING=hello world", "-v", "/dev:/dev"],
      ],
      [
        ["--env", "A=hello world", "--rm"],
        ["--env", "A=hello world", "--rm"],
      ],
      [["", "  "], []],
    ];
    for (const [options, words] of given) expect(optionWords("run_options", options)).toEqual(words);
  });

  test("are text or a list of texts", () => {
    for (const options of [5, true, {}, [1], [["--rm"]], [null]] as Json[])
      expect(() => optionWords("run_options", options)).toThrow(
        "run_options must be text or a list of texts",
      );
    expect(givenOptions({ pull_options: "", run_options: null })).toEqual({});
  });

  test("of the configuration may stand in one text, too", () => {
    const config = Config.of({ "container.run_options": ["--rm --network=host", "--privileged"] });
    expect(containerSettings(config).runOptions).toEqual(["--rm", "--network=host", "--privileged"]);
    const bad = Config.of({ "container.pull_options": ["evil"] });
    expect(() => containerSettings(bad)).toThrow(UnusableContainerError);
  });
});

test("nothing but a listed image with the configured options ever comes out", () => {
  const word = fc.oneof(
    fc.string(),
    fc.constantFrom("quay.io/site/burn:1", "docker://", "--rm", "oci://quay.io/site/burn:1"),
  );
  const url = fc.oneof(
    word,
    fc.array(word, { maxLength: 3 }).map((words) => words.join("")),
    fc.jsonValue(),
  );
  fc.assert(
    fc.property(
      url,
      fc.jsonValue(),
      fc.dictionary(fc.string(), fc.jsonValue()),
      (container_url, options, others) => {
        try {
          const { image, runOptions } = requestedContainer(
            { ...(others as JsonObject), container_url: container_url as Json, run_options: options as Json },
            SETTINGS,
          );
          expect(image).toMatch(
            /^(docker:\/\/|oci:\/\/)?(quay\.io\/site\/burn:1|registry:5000\/fw@sha256:00)$/,
          );
          expect(runOptions).toEqual(SETTINGS.runOptions);
        } catch (error) {
          if (!(error instanceof ContainerNotPermittedError || error instanceof InvalidCommandParamsError))
            throw error;
        }
      },
    ),
  );
});
