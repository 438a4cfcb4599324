// Options of steps that run in containers.

import type { OptionTable } from "../option-spec.ts";

export const CONTAINERS = {
  "container.allow_arbitrary_containers": {
    type: "bool",
    default: false,
    since: "11.0.0",
    help: "Let a step name any container image.",
  },
  "container.allowed_containers": {
    type: "list",
    default: [],
    since: "11.0.0",
    help: "Container images that a step may name.",
  },
  "container.container_steps_file": {
    type: "string",
    default: "/etc/ironic-python-agent.d/mysteps.yaml",
    since: "11.0.0",
    help: "YAML file with steps that run in containers.",
  },
  "container.runner": {
    type: "string",
    default: "podman",
    choices: ["podman", "docker"],
    since: "11.0.0",
    help: "Program that runs containers.",
  },
  "container.pull_options": {
    type: "list",
    default: [],
    since: "11.0.0",
    help: "Options of the runner when it fetches an image.",
  },
  "container.run_options": {
    type: "list",
    default: ["--rm", "--network=host"],
    since: "11.0.0",
    help: "Options of the runner when it runs an image.",
  },
} as const satisfies OptionTable;
