// The agent: owns everything below it and starts it in order. Nothing here is global, so several hundred agents can live in
// one process.
// Source of the order: control-plane specification 1.2.

import type { Config } from "./config/config.ts";
import { ConfigurationError } from "./config/configuration-error.ts";
import { describeConfig } from "./config/describe.ts";
import { InvalidCommandParamsError } from "./errors.ts";
import { EXTENSIONS } from "./extensions/extensions.ts";
import { CommandRegistry } from "./extensions/registry.ts";
import { BUILT_IN_MANAGERS } from "./hardware/built-in.ts";
import type { ManagerFactory } from "./hardware/manager.ts";
import { HardwareManagers } from "./hardware/managers.ts";
import { callbackUrl, findAdvertisedHost } from "./ironic/advertise-address.ts";
import { IronicApi } from "./ironic/api-client.ts";
import { type ApiTls, chooseApiTls } from "./ironic/api-tls.ts";
import { Heartbeater } from "./ironic/heartbeat.ts";
import { lookUpNode } from "./ironic/lookup.ts";
import {
  applyLookupAnswer,
  type LookupAnswer,
  parseLookupAnswer,
  UnusableAnswerError,
} from "./ironic/lookup-answer.ts";
import { AgentToken } from "./ironic/token.ts";
import type { JsonObject } from "./json.ts";
import { createApi, SERVER_BODY_LIMIT } from "./routes/api.ts";
import { Authorization } from "./routes/authorization.ts";
import { syncClock } from "./steps/clock-sync.ts";
import { Deployment } from "./steps/deployment.ts";
import type { Listening } from "./system/http-server.ts";
import type { Logger } from "./system/log.ts";
import type { System } from "./system/system.ts";
import { AGENT_VERSION } from "./version.ts";

/** Seconds: how long to wait for a network card, and between two looks. */
const INTERFACE_PATIENCE = 60;
const INTERFACE_POLL = 5;
/** Seconds in which everything must have ended after `stop`: answers under way, and all together. */
const ANSWER_GRACE = 2;
const STOP_GRACE = 4;

export class Agent {
  readonly #system: System;
  readonly #config: Config;
  readonly #log: Logger;
  readonly #token: AgentToken;
  readonly #managers: HardwareManagers;
  readonly #commands: CommandRegistry;
  readonly #stopping = new AbortController();
  #listening: Listening | null = null;
  #heartbeater: Heartbeater | null = null;

  constructor(system: System, config: Config, factories: readonly ManagerFactory[] = BUILT_IN_MANAGERS) {
    this.#system = system;
    this.#config = config;
    this.#log = system.log.named("ironic_agent.agent");
    this.#token = new AgentToken(config.get("agent_token"));
    const deployment = new Deployment();
    this.#managers = new HardwareManagers({ system, config, deployment, factories });
    this.#commands = new CommandRegistry(EXTENSIONS, {
      system,
      config,
      managers: this.#managers,
      deployment,
      applyLookup: (answer) => this.#applyGivenLookup(answer),
    });
  }

  /** The port the API answers on; null before and after. */
  get port(): number | null {
    return this.#listening?.port ?? null;
  }

  /** Runs until stopped. Resolves to the exit code: 0 after `stop`, else what made it end. Never rejects. */
  async run(): Promise<number> {
    const stopped = Promise.withResolvers<void>();
    this.#stopping.signal.addEventListener("abort", () => stopped.resolve(), { once: true });
    try {
      // Not everything in the sequence can be interrupted; stopping does not wait for it.
      await Promise.race([stopped.promise, this.#start(this.#stopping.signal)]);
      await stopped.promise;
      return 0;
    } catch (error) {
      if (this.#stopping.signal.aborted) return 0;
      this.#log.error("The agent cannot go on", error);
      return error instanceof ConfigurationError ? error.exitCode : 1;
    } finally {
      await this.#shutDown();
    }
  }

  /** Makes `run` end: the API and the heartbeats stop, running commands are aborted, all within 5 seconds. */
  stop(): void {
    this.#stopping.abort(new Error("the agent was told to stop"));
  }

  async #start(signal: AbortSignal): Promise<void> {
    const config = this.#config;
    const standalone = config.get("standalone");
    this.#warnAboutHalfPairs();
    const ironic = standalone ? null : await IronicApi.create(this.#system, config);
    this.#log.info(`Starting ironic-agent version ${AGENT_VERSION}`);
    this.#log.debug(`Configuration:\n${describeConfig(config)}`);
    const startedAt = this.#system.clock.now();
    await syncClock(this.#system, config, signal);
    await this.#managers.load();
    signal.throwIfAborted();
    await this.#pause(config.get("hardware_initialization_delay"), signal);
    if (!standalone) await this.#waitForInterface(signal);

    const node = ironic === null ? null : await this.#lookUp(ironic, signal);
    if (node === "token lost") return;
    if (!standalone && ironic === null)
      this.#log.error(
        "No Ironic API URL is configured (api_url, kernel parameter ipa-api-url): this agent serves its API, " +
          "but neither looks its node up nor heartbeats.",
      );

    const host = ironic === null ? null : await this.#advertisedHost(ironic, signal);
    const tls = await chooseApiTls(this.#system, config, { ironicMinor: ironic?.knownMinor ?? null, host });
    if (tls.verifyCa !== null) config.override("advertise_protocol", "https", "automatic TLS");
    signal.throwIfAborted();
    this.#listening = await this.#serve(startedAt, tls, ironic);
    if (ironic !== null && node !== null && host !== null)
      this.#heartbeater = this.#startHeartbeats(ironic, node, host, tls);
  }

  #warnAboutHalfPairs(): void {
    for (const [one, other] of [
      ["certfile", "keyfile"],
      ["keyfile", "certfile"],
    ] as const)
      if (this.#config.get(one) !== null && this.#config.get(other) === null)
        this.#log.warning(`${one} is set but ${other} is not: no client certificate will be used`);
  }

  async #pause(seconds: number, signal: AbortSignal): Promise<void> {
    if (seconds > 0) await this.#system.clock.sleep(seconds, signal);
  }

  /** Drivers may still be loading; without any network card the lookup could only fail. */
  async #waitForInterface(signal: AbortSignal): Promise<void> {
    const { clock } = this.#system;
    const started = clock.monotonic();
    for (;;) {
      const interfaces = await this.#managers.dispatch("listNetworkInterfaces");
      if (interfaces.some(({ mac_address }) => mac_address !== "")) return;
      if (clock.monotonic() - started >= INTERFACE_PATIENCE) break;
      await clock.sleep(INTERFACE_POLL, signal);
    }
    this.#log.warning(`No network interface appeared within ${INTERFACE_PATIENCE} s; going on without`);
  }

  async #lookUp(ironic: IronicApi, signal: AbortSignal): Promise<LookupAnswer | "token lost"> {
    const inventory = await this.#managers.inventory({ useCache: true });
    const macs = inventory.interfaces.map(({ mac_address }) => mac_address).filter((mac) => mac !== "");
    const patience = {
      timeout: this.#config.get("lookup_timeout"),
      interval: this.#config.get("lookup_interval"),
    };
    const ask = (query: { nodeUuid?: string }) =>
      lookUpNode(ironic, { macs, ...query }, patience, { clock: this.#system.clock, log: this.#log }, signal);
    const answer = await ask({});
    this.#log.info(`This machine is node ${answer.uuid}`);
    // Only the node of later answers counts: their token is masked by then.
    this.#managers.node.refreshWith(async () => (await ask({ nodeUuid: answer.uuid })).node);
    return (await this.#applyLookup(answer)) === "lost" ? this.#explainLostToken(answer) : answer;
  }

  async #applyLookup(answer: LookupAnswer): Promise<"usable" | "lost"> {
    this.#managers.node.skipBmcDetection = answer.settings.agent_skip_bmc_detect === true;
    const state = applyLookupAnswer(answer, this.#config, this.#token, this.#log);
    await this.#managers.node.cache(answer.node);
    return state;
  }

  /** The command poll.set_node_info gives a standalone agent what it never asks Ironic for. */
  async #applyGivenLookup(answer: JsonObject): Promise<void> {
    try {
      await this.#applyLookup(parseLookupAnswer(answer));
    } catch (error) {
      if (!(error instanceof UnusableAnswerError)) throw error;
      throw new InvalidCommandParamsError(`node_info cannot be used: ${error.message}`);
    }
  }

  /** Ending here would only make the service manager start this again, with the same result. */
  #explainLostToken({ uuid }: LookupAnswer): "token lost" {
    this.#log.error(
      `Ironic handed out the token for node ${uuid} before, and this agent does not have it: most likely the agent was ` +
        "restarted without the machine being rebooted. Ironic will not take its heartbeats and it cannot be " +
        "commanded, so it serves nothing and waits. Abort the node's operation in Ironic, or reboot the " +
        "machine through Ironic, which makes a new token.",
    );
    return "token lost";
  }

  async #advertisedHost(ironic: IronicApi, signal: AbortSignal): Promise<string> {
    const interfaceAddress = async (name: string) =>
      (await this.#managers.dispatch("getInterfaceInfo", name)).ipv4_address;
    return findAdvertisedHost(this.#system, this.#config, ironic.urls, interfaceAddress, signal);
  }

  async #serve(startedAt: number, tls: ApiTls, ironic: IronicApi | null): Promise<Listening> {
    const api = createApi({
      system: this.#system,
      status: { started_at: startedAt, version: AGENT_VERSION },
      commands: this.#commands,
      authorization: new Authorization({
        token: this.#token,
        config: this.#config,
        log: this.#log,
        ironicApiMinor: () => ironic?.knownMinor ?? null,
      }),
      onConductorRequest: () => this.#heartbeater?.noteRequest(),
    });
    const [host, port] = [this.#config.get("listen_host"), this.#config.get("listen_port")];
    const listening = await this.#system.listen({
      host,
      port,
      tls: tls.server,
      maxRequestBody: SERVER_BODY_LIMIT,
      handle: api,
    });
    const scheme = tls.server === null ? "http" : "https";
    this.#log.info(`Serving the API at ${callbackUrl(scheme, host, listening.port)}`);
    return listening;
  }

  #startHeartbeats(ironic: IronicApi, node: LookupAnswer, host: string, tls: ApiTls): Heartbeater {
    const config = this.#config;
    const heartbeater = new Heartbeater({
      api: ironic,
      clock: this.#system.clock,
      log: this.#system.log.named("ironic_agent.heartbeat"),
      token: this.#token,
      nodeUuid: node.uuid,
      callbackUrl: callbackUrl(config.get("advertise_protocol"), host, config.get("advertise_port")),
      agentVersion: AGENT_VERSION,
      verifyCa: tls.verifyCa,
      heartbeatTimeout: node.heartbeatTimeout,
    });
    this.#commands.onAsyncCommandEnded(({ acceptedAt }) => heartbeater.force(acceptedAt));
    heartbeater.start();
    return heartbeater;
  }

  async #shutDown(): Promise<void> {
    const done = new AbortController();
    const patience = this.#system.clock.sleep(STOP_GRACE, done.signal).then(
      () => this.#log.warning(`Not everything ended within ${STOP_GRACE} s; leaving it behind`),
      () => undefined, // ended in time: the wait itself was aborted
    );
    const everything = Promise.all([
      this.#commands.stop(),
      this.#listening?.stop(ANSWER_GRACE),
      this.#heartbeater?.stop(),
    ]).then(() => done.abort());
    await Promise.race([everything, patience]);
    this.#listening = null;
    this.#log.info("The agent has stopped");
  }
}
