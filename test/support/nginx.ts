// A real nginx in the foreground, for tests of TLS with the server that stands in front of most Ironics.

import { writeFile } from "node:fs/promises";
import { join } from "node:path";

/** False where Debian's package nginx-light is not installed; `npm test` installs it. */
export const NGINX_INSTALLED = Bun.which("nginx") !== null;

/** `server` holds directives of one server block besides `listen`; `directory` is for its files. */
export async function startNginx(directory: string, port: number, server: string): Promise<AsyncDisposable> {
  const configuration = join(directory, `nginx-${port}.conf`);
  const paths = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
    .map((name) => `${name}_temp_path ${directory}/${name};`)
    .join("\n");
  await writeFile(
    configuration,
    `daemon off;
master_process off;
pid ${directory}/nginx-${port}.pid;
error_log stderr;
events {}
http {
access_log off;
${paths}
server {
listen 127.0.0.1:${port} ssl;
${server}
}
}
`,
  );
  const child = Bun.spawn(["nginx", "-e", "stderr", "-c", configuration], {
    stdin: "ignore",
    stdout: "ignore",
    stderr: "pipe",
  });
  const errors = new Response(child.stderr).text();
  while (!(await listens(port))) {
    if (child.exitCode !== null) throw new Error(`nginx ended with ${child.exitCode}: ${await errors}`);
    await Bun.sleep(5);
  }
  return {
    async [Symbol.asyncDispose]() {
      child.kill();
      await child.exited;
    },
  };
}

async function listens(port: number): Promise<boolean> {
  try {
    const socket = await Bun.connect({ hostname: "127.0.0.1", port, socket: { data: () => undefined } });
    socket.end();
    return true;
  } catch {
    return false; // not yet
  }
}
