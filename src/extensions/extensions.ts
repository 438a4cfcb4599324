// The extensions this agent has. A name that is not here is answered with 404, as the reference answers for
// one that is not installed.

import { clean } from "./clean.ts";
import type { Extension } from "./command.ts";
import { deploy } from "./deploy.ts";
import { flow } from "./flow.ts";
import { image } from "./image.ts";
import { iscsi } from "./iscsi.ts";
import { log } from "./log.ts";
import { poll } from "./poll.ts";
import { rescue } from "./rescue.ts";
import { service } from "./service.ts";
import { standby } from "./standby.ts";
import { system } from "./system.ts";

export const EXTENSIONS: readonly Extension[] = [
  clean,
  deploy,
  flow,
  image,
  iscsi,
  log,
  poll,
  rescue,
  service,
  standby,
  system,
];
