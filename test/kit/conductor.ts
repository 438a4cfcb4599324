// A conductor small enough to read: it behaves towards a ramdisk agent like Ironic 21.4 does, drives a machine through
// a deployment or an automated cleaning, and tells its observers what happens. Made for the demo, for tests of this
// agent, and for authors of plug-in hardware managers who want to see theirs at work without an OpenStack around it.

import { AutomatedCleaning } from "./automated-cleaning.ts";
import { type DeployRequest, DirectDeploy } from "./direct-deploy.ts";
import type { ConductorEvent, HeartbeatOutcome, Observer } from "./events.ts";
import { Faults } from "./faults.ts";
import { VersionRange } from "./microversion.ts";
import { HEARTBEAT_STATES, Node, type NodeSpec, RECORD_ONLY_STATES, WAITING_STATES } from "./node.ts";
import type { Operation } from "./operation.ts";
import type { PowerControl } from "./power.ts";
import { type Heartbeat, RamdiskApi } from "./ramdisk-api.ts";
import { type ConductorSettings, DEFAULT_SETTINGS } from "./settings.ts";
import { messageOf, Task } from "./task.ts";

export interface ConductorOptions {
  /** Address to listen on, which must be the one agents reach; 127.0.0.1 unless given. */
  hostname?: string;
  /** 0 or absent: any free port. Ironic's own is 6385. */
  port?: number;
  /** Certificate and key in PEM: the API is served over HTTPS. */
  tls?: { cert: string; key: string };
  settings?: Partial<ConductorSettings>;
}

interface Managed {
  node: Node;
  operation: Operation | null;
  /** Fails the operation when no heartbeat was processed for too long. */
  callbackTimer?: ReturnType<typeof setTimeout>;
}

export class EmbeddedConductor implements AsyncDisposable {
  readonly settings: ConductorSettings;
  readonly faults = new Faults();
  readonly #options: ConductorOptions;
  readonly #api: RamdiskApi;
  readonly #managed = new Map<string, Managed>();
  readonly #observers = new Set<Observer>();
  /** Work set in motion by heartbeats, waited for when the conductor is closed. */
  readonly #work = new Set<Promise<void>>();
  readonly #closing = new AbortController();
  #server: Bun.Server<undefined> | null = null;
  #port: number;

  private constructor(options: ConductorOptions) {
    this.#options = options;
    this.#port = options.port ?? 0;
    this.settings = { ...DEFAULT_SETTINGS, ...options.settings };
    this.#api = new RamdiskApi({
      versions: new VersionRange(this.settings.apiVersion),
      nodes: () => [...this.#managed.values()].map(({ node }) => node),
      faults: this.faults,
      emit: (event) => this.#emit(event),
      heartbeatTimeout: this.settings.heartbeatTimeout,
      requireTls: this.settings.requireTls,
      extraConfig: this.settings.lookupConfig,
      onHeartbeat: (node, heartbeat) => this.#onHeartbeat(node, heartbeat),
    });
  }

  static start(options: ConductorOptions = {}): EmbeddedConductor {
    const conductor = new EmbeddedConductor(options);
    conductor.comeBack();
    return conductor;
  }

  /** The API's root, without a slash at the end: the value of ipa-api-url. */
  get url(): string {
    const scheme = this.#options.tls === undefined ? "http" : "https";
    const host = this.#options.hostname ?? "127.0.0.1";
    return `${scheme}://${host.includes(":") ? `[${host}]` : host}:${this.#port}`;
  }

  /** Calls `observer` for each event from now on; the function returned ends that. */
  observe(observer: Observer): () => void {
    this.#observers.add(observer);
    return () => this.#observers.delete(observer);
  }

  /** Adds a node in state "available". */
  enrol(spec: NodeSpec, power: PowerControl): Node {
    const node = new Node(spec, power);
    if (this.#managed.has(node.uuid)) throw new Error(`Node ${node.uuid} is enrolled already.`);
    this.#managed.set(node.uuid, { node, operation: null });
    return node;
  }

  /** Deploys an image; settles when the node is active, rejects with OperationFailed and the node's last_error. */
  deploy(node: Node, request: DeployRequest): Promise<void> {
    return this.#operate(node, (task) => new DirectDeploy(task, request));
  }

  /** Cleans with the agent's own automatic steps; settles when the node is available again. */
  clean(node: Node): Promise<void> {
    return this.#operate(node, (task) => new AutomatedCleaning(task));
  }

  /** Stops listening: agents get their connections refused. Operations under way stay as they are. */
  async goOffline(): Promise<void> {
    await this.#server?.stop(true);
    this.#server = null;
  }

  /** Listens (again), on the same port as before. */
  comeBack(): void {
    if (this.#server !== null) return;
    this.#server = Bun.serve({
      hostname: this.#options.hostname ?? "127.0.0.1",
      port: this.#port,
      ...(this.#options.tls === undefined ? {} : { tls: this.#options.tls }),
      fetch: (request) => this.#api.handle(request),
    });
    this.#port = this.#server.port ?? this.#port;
  }

  /** Resolves when all that the heartbeats so far have set in motion is done. */
  async idle(): Promise<void> {
    while (this.#work.size > 0) await Promise.all(this.#work);
  }

  /** Stops the API and ends work in progress; operations reject. Machines keep their power state. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort(new Error("The conductor was closed."));
    await this.goOffline();
    for (const { operation, callbackTimer } of this.#managed.values()) {
      clearTimeout(callbackTimer);
      operation?.close();
    }
    await this.idle();
  }

  async #operate(node: Node, create: (task: Task) => Operation): Promise<void> {
    const managed = this.#find(node);
    const { provisionState } = node;
    if (managed.operation !== null) {
      throw new Error(`Node ${node.uuid} is in state "${provisionState}": another operation is under way.`);
    }
    let end: Promise<void>;
    {
      using lock = node.lock.tryAcquire();
      if (lock === null) throw new Error(`Node ${node.uuid} is locked.`);
      const emit = (event: ConductorEvent) => this.#emit(event);
      const operation = create(new Task(node, this.settings, this.url, emit, this.#closing.signal));
      managed.operation = operation;
      end = operation.finished.finally(() => {
        managed.operation = null;
        clearTimeout(managed.callbackTimer);
      });
      // Whoever awaits `end` sees the failure; without this line an early one would count as unhandled meanwhile.
      end.catch(() => undefined);
      await operation.begin();
      this.#restartCallbackTimer(managed);
    }
    await end;
  }

  #onHeartbeat(node: Node, heartbeat: Heartbeat): void {
    this.#inBackground(node, async () => {
      // Ironic answers first and works afterwards, in another thread.
      await Bun.sleep(0);
      await this.#processHeartbeat(this.#find(node), heartbeat);
    });
  }

  /** Ironic's order: state, lock, store, and only then the operation. */
  async #processHeartbeat(managed: Managed, heartbeat: Heartbeat): Promise<void> {
    const { node, operation } = managed;
    const tell = (outcome: HeartbeatOutcome) =>
      this.#emit({ type: "heartbeat", node: node.uuid, ...heartbeat, outcome });
    if (!HEARTBEAT_STATES.has(node.provisionState)) return tell("ignored");
    using lock = node.lock.tryAcquire();
    if (lock === null || this.faults.ignoreHeartbeats) return tell("dropped");

    const { callbackUrl, agentVersion, agentVerifyCa } = heartbeat;
    node.agent = { url: callbackUrl, version: agentVersion, verifyCa: agentVerifyCa };
    if (RECORD_ONLY_STATES.has(node.provisionState) || operation === null || node.maintenance) {
      return tell("recorded");
    }
    tell("processed");
    await operation.heartbeat();
    this.#restartCallbackTimer(managed);
  }

  #restartCallbackTimer(managed: Managed): void {
    clearTimeout(managed.callbackTimer);
    const { node, operation } = managed;
    if (operation === null || !WAITING_STATES.has(node.provisionState)) return;
    managed.callbackTimer = setTimeout(() => {
      this.#inBackground(node, async () => {
        using lock = node.lock.tryAcquire();
        // While work is in progress nobody waits for a call.
        if (lock === null || managed.operation !== operation) return;
        await operation.timedOut();
      });
    }, this.settings.callbackTimeout);
  }

  #inBackground(node: Node, body: () => Promise<void>): void {
    const work = body().catch((error) => {
      // Operations catch their own failures, so this is a defect of the conductor: it must not go unseen.
      this.#emit({ type: "warning", node: node.uuid, message: `Embedded conductor: ${messageOf(error)}` });
    });
    this.#work.add(work);
    work.finally(() => this.#work.delete(work));
  }

  #find(node: Node): Managed {
    const managed = this.#managed.get(node.uuid);
    if (managed === undefined) throw new Error(`Node ${node.uuid} is not enrolled.`);
    return managed;
  }

  #emit(event: ConductorEvent): void {
    for (const observer of this.#observers) observer(event);
  }
}
