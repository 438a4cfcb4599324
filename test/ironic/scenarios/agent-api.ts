// Who may speak to the agent, and how it is reached.

import { readFile } from "node:fs/promises";
import { isJsonObject } from "../../../src/json.ts";
import { testCertificate } from "../../kit/certificate.ts";
import { run } from "../../rig/programs.ts";
import { check } from "../check.ts";
import { AGENT_CONFIGURATION, type Scenario } from "../scenario.ts";

const RENEWAL_TIMEOUT_MS = 120_000;
const CERTIFICATE = "/etc/ironic-python-agent/tls.crt";
const KEY = "/etc/ironic-python-agent/tls.key";

export const tokenRefused: Scenario = {
  name: "token-refused",
  about:
    "commands without the token or with another one are refused, so is such a heartbeat; the deployment is unharmed",
  async run(stage) {
    const node = await stage.enrol();
    await node.provide();
    const strangers = async () => {
      const url = node.managed.agent?.url ?? "";
      for (const query of ["", `&agent_token=${"x".repeat(43)}`]) {
        const response = await fetch(`${url}/v1/commands/?wait=false${query}`, {
          method: "POST",
          body: JSON.stringify({ name: "standby.power_off", params: {} }),
          tls: { rejectUnauthorized: false },
        });
        const fault: unknown = await response.json();
        check(response.status === 401, "a stranger's command is refused with 401", String(response.status));
        check(
          isJsonObject(fault) && typeof fault.faultstring === "string",
          "with a faultstring",
          JSON.stringify(fault),
        );
      }
      const refusal = await stage.site.ironic.client.refusedHeartbeat(node.managed.uuid, {
        callback_url: url,
        agent_token: "x".repeat(43),
        agent_version: "6.4.4",
      });
      check(
        /Invalid or missing agent token/.test(refusal),
        "Ironic refuses a heartbeat with another token",
        refusal,
      );
    };
    await node.when("write image", () => node.deploy(), strangers);
  },
};

export const manualCertificate: Scenario = {
  name: "manual-certificate",
  about: "the agent serves its API with the operator's certificate, which Ironic is told to trust",
  async run(stage) {
    const { certificate, addresses } = await rangeCertificate(stage.site.network.address);
    const authority = await stage.file("agent-ca.pem", certificate.cert);
    const node = await stage.enrol({
      driverInfo: { agent_verify_ca: authority },
      files: [
        { path: CERTIFICATE, content: certificate.cert },
        { path: KEY, content: certificate.key, mode: 0o600 },
        {
          path: `${AGENT_CONFIGURATION}/tls.conf`,
          content: `[DEFAULT]\nlisten_tls = true\nadvertise_protocol = https\n[ssl]\ncert_file = ${CERTIFICATE}\nkey_file = ${KEY}\n`,
        },
      ],
    });
    await node.clean();
    const { agent } = node.managed;
    const host = new URL(agent?.url ?? "http://none").hostname;
    check(agent?.url.startsWith("https://") === true, "the agent's address is https", String(agent?.url));
    check(addresses.includes(host), "the certificate is for the agent's address", host);
    check(
      agent?.certificateFile === null,
      "the agent announces no certificate",
      String(agent?.certificateFile),
    );
  },
};

export const certificateRenewed: Scenario = {
  name: "certificate-renewed",
  about:
    "the agent serves another certificate every 8 s; Ironic goes on trusting it by what was announced at first",
  async run(stage) {
    const renewal = "src/ironic/certificate-renewal.ts";
    const node = await stage.enrol({
      changedAgent: [
        { file: renewal, from: /const LOOK_EVERY = \d+;/, to: "const LOOK_EVERY = 2;" },
        { file: renewal, from: /const RENEW_AFTER = .*;/, to: "const RENEW_AFTER = 8;" },
      ],
    });
    await node.provide();
    const { machine } = node.managed;
    const renewed = async () => {
      const options = { timeout: RENEWAL_TIMEOUT_MS };
      await machine.waitForConsole(/Serving the API with a new certificate/, options);
      const announced = await readFile(node.managed.agent?.certificateFile ?? "", "utf8");
      const served = await certificateOf(node.managed.agent?.url ?? "");
      check(!announced.includes(served.trim()), "another certificate than the first is served", served);
    };
    await node.when("write image", () => node.deploy(), renewed);
  },
};

/** PEM text of what a server shows, without verifying it. */
async function certificateOf(url: string): Promise<string> {
  const { hostname, port } = new URL(url);
  const script = 'openssl s_client -connect "$1" </dev/null 2>/dev/null | openssl x509';
  const { stdout } = await run(["sh", "-c", script, "sh", `${hostname}:${port}`]);
  return stdout;
}

/** A certificate for every address that DHCP may hand out. */
async function rangeCertificate(bridge: string) {
  const subnet = bridge.slice(0, bridge.lastIndexOf("."));
  const addresses = Array.from({ length: 101 }, (_, index) => `${subnet}.${100 + index}`);
  return { certificate: await testCertificate(...addresses), addresses };
}
