// Answers versions and heartbeats as Ironic does; tells its port to who started it.

const { tls, keepAlive } = JSON.parse(process.argv[2] ?? "{}") as {
  tls: { cert: string; key: string } | null;
  keepAlive: boolean;
};
const headers = keepAlive ? {} : { Connection: "close" };
const server = Bun.serve({
  hostname: "127.0.0.1",
  port: 0,
  ...(tls === null ? {} : { tls: { cert: Bun.file(tls.cert), key: Bun.file(tls.key) } }),
  fetch: (request) =>
    new URL(request.url).pathname === "/"
      ? Response.json({ default_version: { id: "v1", version: "1.82" } }, { headers })
      : new Response(null, { status: 202, headers }),
});
process.send?.(server.port);
process.on("disconnect", () => process.exit(0));
