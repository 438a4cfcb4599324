// GET /metrics, and what the API itself measures. control-plane 9.6.

import { describe, expect, test } from "bun:test";
import { step } from "../extensions/fixture.ts";
import { apiFixture, TOKEN } from "./fixture.ts";

const APP = "ironic_python_agent.api.app";

describe("GET /metrics", () => {
  test("is Prometheus' text, open like the status", async () => {
    const api = await apiFixture({ config: { standalone: false }, token: TOKEN });
    await api.get("/v1/status");
    const answer = await api.get("/metrics");
    expect(answer.status).toBe(200);
    expect(answer.headers.get("content-type")).toBe("text/plain; version=0.0.4; charset=utf-8");
    expect(answer.text).toContain("# TYPE ironic_python_agent_api_app_get_status_seconds summary\n");
    expect(answer.text).toContain("ironic_python_agent_api_app_get_status_seconds_count 1\n");
    expect((await api.request("HEAD", "/metrics")).status).toBe(200);
    const refused = await api.request("POST", "/metrics");
    expect([refused.status, refused.headers.get("allow")]).toEqual([405, "GET, HEAD"]);
  });

  test("asks for the token where an operator wants it for everything that can be read", async () => {
    const config = { standalone: false, command_results_token: "always" } as const;
    const api = await apiFixture({ config, token: TOKEN });
    expect((await api.get("/metrics")).status).toBe(401);
    expect((await api.get(`/metrics?agent_token=${TOKEN}`)).status).toBe(200);
  });
});

describe("the handlers' timers", () => {
  const counts = (api: Awaited<ReturnType<typeof apiFixture>>) =>
    Object.fromEntries(
      [...api.metrics.series()]
        .filter(({ name }) => name.startsWith(APP))
        .map(({ name, count }) => [name.slice(APP.length + 1), count]),
    );

  test("have the reference's names, at both paths", async () => {
    const api = await apiFixture();
    await api.get("/v1/status");
    await api.get("/status");
    await api.get("/v1/commands/");
    const { id } = (await api.post("standby.get_partition_uuids", {})).json;
    await api.get(`/v1/commands/${id}`);
    expect(counts(api)).toEqual({ get_status: 2, list_commands: 1, run_command: 1, get_command: 1 });
  });

  test("count handlers that fail, but no POST that is refused for its token or its body", async () => {
    const api = await apiFixture({ token: TOKEN });
    await api.get("/v1/commands/no-such-id");
    await api.post("no.such", {});
    expect(counts(api)).toEqual({ get_command: 1, run_command: 1 });
    expect((await api.post("standby.sync", {}, "?agent_token=wrong")).status).toBe(401);
    expect((await api.request("POST", "/v1/commands/", "{bad")).status).toBe(400);
    expect(counts(api)).toEqual({ get_command: 1, run_command: 1 });
  });
});

test("commands, steps and the phases of images are timed under their names", async () => {
  const api = await apiFixture({ steps: [step("polish", async () => null)] });
  const polish = { step: { step: "polish", interface: "deploy" }, node: { uuid: "n" }, ports: [] };
  await api.registry.wait((await api.post("clean.execute_clean_step", polish)).json.id);
  await api.post("standby.get_partition_uuids", {});
  const { id } = (await api.post("test.hold", {})).json;
  await api.gate.begun;
  api.gate.report?.({ phase: "write", done: 1, total: 2, unit: "bytes", rate: 1 });
  api.gate.open();
  await api.registry.wait(id);
  const names = [...api.metrics.series()].map(({ name }) => name);
  expect(names).toContain("ironic_python_agent.commands.standby.get_partition_uuids");
  expect(names).toContain("ironic_python_agent.commands.test.hold");
  expect(names).toContain("ironic_python_agent.commands.clean.execute_clean_step");
  expect(names).toContain("ironic_python_agent.steps.clean.polish");
  expect(names).toContain("ironic_python_agent.image.write");
});
