// The generic manager's steps that put an operating system on the machine or take its traces out of the firmware.
// The lists are the reference's (hardware specification 7).

import type { Config } from "../config/config.ts";
import { cleanUefiNvramStep } from "../steps/clean-uefi-nvram.ts";
import { injectFilesStep } from "../steps/inject-files.ts";
import type { Step, StepKind } from "../steps/step.ts";
import { writeImageStep } from "../steps/write-image.ts";

export function systemSteps(kind: StepKind, config: Config): readonly Step[] {
  const injectFiles = injectFilesStep(config.get("inject_files_priority"));
  switch (kind) {
    case "clean":
      return [cleanUefiNvramStep({ abortable: true })];
    case "deploy":
      return [cleanUefiNvramStep({}), writeImageStep, injectFiles];
    case "service":
      return [writeImageStep, injectFiles];
  }
}
