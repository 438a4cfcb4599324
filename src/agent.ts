// The agent: owns everything below it and starts it in order. Nothing here is global, so several hundred agents can live in
// one process.
// Source of the order: control-plane specification 1.2.

import { takeNetworkDown } from "./agent/lock-down.ts";
import { OwnNode } from "./agent/own-node.ts";
import {
  explainNoApiUrl,
  minorForTls,
  waitForInterface,
  warnAboutHalfPairs,
  warnAboutProtocol,
  warnAboutShortToken,
} from "./agent/readiness.ts";
import type { Config } from "./config/config.ts";
import { ConfigurationError } from "./config/configuration-error.ts";
import { describeConfig } from "./config/describe.ts";
import { EXTENSIONS } from "./extensions/extensions.ts";
import { CommandRegistry } from "./extensions/registry.ts";
import { BUILT_IN_MANAGERS } from "./hardware/built-in.ts";
import type { ManagerFactory } from "./hardware/manager.ts";
import { HardwareManagers } from "./hardware/managers.ts";
import { reportMissingPrograms } from "./hardware/optional-programs.ts";
import { installedPlugins } from "./hardware/plugins/load-plugins.ts";
import { inspectAtStartUp } from "./inspection/at-start-up.ts";
import { callbackUrl, findAdvertisedHost } from "./ironic/advertise-address.ts";
import { API_MINOR, IronicApi } from "./ironic/api-client.ts";
import { type ApiTls, chooseApiTls } from "./ironic/api-tls.ts";
import { keepCertificateFresh } from "./ironic/certificate-renewal.ts";
import { Heartbeater } from "./ironic/heartbeat.ts";
import type { LookupAnswer } from "./ironic/lookup-answer.ts";
import { discoverIronic } from "./ironic/mdns-discovery.ts";
import { AgentToken } from "./ironic/token.ts";
import { AgentMetrics } from "./metrics/agent-metrics.ts";
import { createApi, SERVER_BODY_LIMIT } from "./routes/api.ts";
import { Authorization } from "./routes/authorization.ts";
import { syncClock } from "./steps/clock-sync.ts";
import { Deployment } from "./steps/deployment.ts";
import { isRescued } from "./steps/rescue.ts";
import type { Listening, TlsServerOptions } from "./system/http-server.ts";
import type { Logger } from "./system/log.ts";
import type { System } from "./system/system.ts";
import { AGENT_VERSION } from "./version.ts";

/**
 * Seconds in which everything must have ended after `stop`. Five are promised (control-plane specification, DEV-3); the log has
 * to get out in the fifth.
 */
const STOP_TIME = 4;
/** Of these, for commands, API and heartbeats: programs are killed two seconds after they were asked to end. */
const SILENCE_TIME = 3;
/** Of these, for answers under way, some of them of commands that end now. */
const ANSWER_GRACE = 2.7;
/** Seconds for which clients may go on using a connection that was made with the certificate before. */
const OLD_CERTIFICATE_GRACE = 60;
/** Seconds for the network to deliver the answer to `system.lockdown` before it goes down. */
const LAST_ANSWER_GRACE = 1;

export class Agent {
  readonly #system: System;
  readonly #config: Config;
  readonly #log: Logger;
  readonly #token: AgentToken;
  readonly #managers: HardwareManagers;
  readonly #commands: CommandRegistry;
  readonly #metrics: AgentMetrics;
  readonly #ownNode: OwnNode;
  readonly #stopping = new AbortController();
  #listening: Listening | null = null;
  #heartbeater: Heartbeater | null = null;

  constructor(system: System, config: Config, factories: readonly ManagerFactory[] = BUILT_IN_MANAGERS) {
    this.#system = system;
    this.#config = config;
    this.#log = system.log.named("ironic_agent.agent");
    this.#token = new AgentToken(config.get("agent_token"));
    this.#metrics = new AgentMetrics(system, config);
    const deployment = new Deployment();
    this.#managers = new HardwareManagers({
      system,
      config,
      deployment,
      factories,
      plugins: installedPlugins,
      metrics: this.#metrics,
    });
    this.#ownNode = new OwnNode({
      system,
      config,
      log: this.#log,
      token: this.#token,
      managers: this.#managers,
      metrics: this.#metrics,
    });
    this.#commands = new CommandRegistry(EXTENSIONS, {
      system,
      config,
      managers: this.#managers,
      deployment,
      metrics: this.#metrics,
      applyLookup: (answer) => this.#ownNode.takeOver(answer),
      lifecycle: { end: () => this.stop(), lockDown: () => void this.#lockDown() },
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

  /** The numbers are those of the specification's table. */
  async #start(signal: AbortSignal): Promise<void> {
    const [system, config, log] = [this.#system, this.#config, this.#log];
    const standalone = config.get("standalone");
    // 7, 9: what is configured. 18 comes first: a machine in a tenant's hands has nothing to ask of Ironic.
    warnAboutHalfPairs(config, log);
    warnAboutProtocol(config, log);
    warnAboutShortToken(config, log);
    if (await isRescued(system)) return this.#explainRescue();
    // 8: before anything reads an option that the answer may set.
    if (!standalone) await discoverIronic(system, config, signal);
    await this.#metrics.configure();
    const api = await IronicApi.create(system, config);
    const ironic = standalone ? null : api;
    // 10–14: the machine gets ready.
    log.info(`Starting ironic-agent version ${AGENT_VERSION}`);
    log.debug(`Configuration:\n${describeConfig(config)}`);
    const startedAt = system.clock.now();
    await syncClock(system, config, signal);
    reportMissingPrograms(system);
    await this.#managers.load(signal);
    signal.throwIfAborted();
    await this.#pause(config.get("hardware_initialization_delay"), signal);
    if (!standalone) await waitForInterface(this.#managers, { clock: system.clock, log }, signal);

    // 15–17: which node this is. An inspection may tell before the lookup asks.
    const nodeUuid = standalone
      ? null
      : await inspectAtStartUp({ system, config, managers: this.#managers }, signal);
    const known = nodeUuid === null ? {} : { nodeUuid };
    const node = ironic === null ? null : await this.#ownNode.lookUp(ironic, known, signal);
    if (node === "token lost") return this.#goQuiet();
    if (!standalone && ironic === null) explainNoApiUrl(config, log);

    // 19–21: serve, and only then say so.
    const ironicMinor = api === null ? null : await minorForTls(api, config, log, signal);
    const needsHost = ironic !== null || (ironicMinor ?? 0) >= API_MINOR.agentVerifyCa;
    const host = api !== null && needsHost ? await this.#advertisedHost(api, signal) : null;
    const tls = await chooseApiTls(system, config, { ironicMinor, host });
    if (tls.verifyCa !== null) config.override("advertise_protocol", "https", "automatic TLS");
    signal.throwIfAborted();
    this.#listening = await this.#serve(startedAt, tls, ironic);
    if (ironic !== null && node !== null && host !== null)
      this.#heartbeater = this.#startHeartbeats(ironic, node, host, tls);
  }

  async #pause(seconds: number, signal: AbortSignal): Promise<void> {
    if (seconds > 0) await this.#system.clock.sleep(seconds, signal);
  }

  /** Ending here would make the service manager start the agent again and again. */
  #explainRescue(): void {
    this.#log.info(
      "This machine was handed over in rescue mode (/etc/.rescued): the agent serves nothing and waits.",
    );
  }

  async #advertisedHost(ironic: IronicApi, signal: AbortSignal): Promise<string> {
    const interfaceAddress = async (name: string) =>
      (await this.#managers.dispatch("getInterfaceInfo", name)).ipv4_address;
    const urls = () => ironic.reachableUrls(signal);
    return findAdvertisedHost(this.#system, this.#config, urls, interfaceAddress, signal);
  }

  async #serve(startedAt: number, tls: ApiTls, ironic: IronicApi | null): Promise<Listening> {
    const api = createApi({
      system: this.#system,
      status: { started_at: startedAt, version: AGENT_VERSION },
      metrics: this.#metrics,
      config: this.#config,
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
      replaceable: tls.renew !== null,
      maxRequestBody: SERVER_BODY_LIMIT,
      handle: api,
    });
    if (tls.renew !== null) this.#keepCertificateFresh(listening, tls.renew);
    const scheme = tls.server === null ? "http" : "https";
    this.#log.info(`Serving the API at ${callbackUrl(scheme, host, listening.port)}`);
    return listening;
  }

  #keepCertificateFresh(listening: Listening, renew: NonNullable<ApiTls["renew"]>): void {
    const options = {
      clock: this.#system.clock,
      log: this.#log,
      allowedClockSkew: this.#config.get("auto_tls_allowed_clock_skew"),
      renew,
      serve: (next: TlsServerOptions) => listening.replaceTls(next, OLD_CERTIFICATE_GRACE),
    };
    void keepCertificateFresh(options, listening.stopped);
  }

  #startHeartbeats(ironic: IronicApi, node: LookupAnswer, host: string, tls: ApiTls): Heartbeater {
    const config = this.#config;
    const heartbeater = new Heartbeater({
      api: ironic,
      clock: this.#system.clock,
      log: this.#system.log.named("ironic_agent.heartbeat"),
      metrics: this.#metrics,
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

  /** Cuts the agent off from everybody; it goes on, and stops like any other. */
  async #lockDown(): Promise<void> {
    try {
      await this.#fallSilent();
      await this.#pause(LAST_ANSWER_GRACE, this.#stopping.signal);
      await this.#takeNetworkDown();
    } catch (error) {
      if (!this.#stopping.signal.aborted)
        this.#log.error("The agent could not be locked down entirely", error);
    }
  }

  /** Whoever started the agent by hand, to see what it does, may sit at the other end of this network. */
  async #goQuiet(): Promise<void> {
    if (!this.#system.interactive) return this.#takeNetworkDown();
    this.#log.warning("The network interfaces stay up, because the agent was started from a terminal");
  }

  #takeNetworkDown(): Promise<void> {
    return takeNetworkDown(this.#system, this.#config, this.#managers, this.#log);
  }

  /** One deadline for all of it, so that what takes its time does not add up. */
  async #shutDown(): Promise<void> {
    const { clock } = this.#system;
    const deadline = clock.monotonic() + STOP_TIME;
    await this.#fallSilent();
    const rest = Promise.all([this.#managers.stop(), this.#metrics.stop()]);
    await this.#waitAtMost(deadline - clock.monotonic(), rest);
    this.#log.info("The agent has stopped");
  }

  /** Commands, API and heartbeats end. */
  async #fallSilent(): Promise<void> {
    const everything = Promise.all([
      this.#commands.stop(),
      this.#listening?.stop(ANSWER_GRACE),
      this.#heartbeater?.stop(),
    ]);
    await this.#waitAtMost(SILENCE_TIME, everything);
    this.#listening = null;
    this.#heartbeater = null;
  }

  /** What has not ended after `seconds` is left behind. */
  async #waitAtMost(seconds: number, work: Promise<unknown>): Promise<void> {
    const done = new AbortController();
    const patience = this.#system.clock.sleep(seconds, done.signal).then(
      () => this.#log.warning(`Not everything ended within ${seconds.toFixed(1)} s; leaving it behind`),
      () => undefined, // ended in time: the wait itself was aborted
    );
    await Promise.race([work.finally(() => done.abort()), patience]);
  }
}
