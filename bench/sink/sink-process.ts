/** Starting sinks in processes of their own: what is measured must not share a thread with what measures it. */
import { type ChildProcess, fork, spawn } from 'node:child_process';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/** Something that answers as S3 and KMS. */
export interface SinkProcess {
  readonly endpoint: string;
  /** PEM of the authority that clients have to trust. */
  readonly ca: string | undefined;
  close(): Promise<void>;
}

/** The sink of this folder. */
export async function startOwnSink({ tls }: { readonly tls: boolean }): Promise<SinkProcess> {
  const child = fork(join(import.meta.dirname, 'sink-program.js'), tls ? ['--tls'] : [], {
    execArgv: ['--no-warnings'],
  });
  const [ready] = (await Promise.race([
    once(child, 'message'),
    once(child, 'exit').then(([status]) => {
      throw new Error(`the sink ended with status ${String(status)} before it listened`);
    }),
  ])) as [{ port: number; ca: string | undefined }];
  return {
    // By name with TLS, as the certificate is.
    endpoint: tls ? `https://localhost:${ready.port}` : `http://127.0.0.1:${ready.port}`,
    ca: ready.ca,
    close: async () => {
      const ended = once(child, 'exit');
      if (child.connected) child.disconnect();
      await ended;
    },
  };
}

/** Milliseconds that a sink of another kind may take until it listens. */
const startLimit = 10_000;

/**
 * A sink of another kind.
 * @param command for the shell; `{port}` stands for the port that it is to listen on
 */
export async function startSinkCommand(command: string): Promise<SinkProcess> {
  const port = await freePort();
  // A group of its own, so that the shell and what it started can be ended together.
  const child = spawn(command.replaceAll('{port}', String(port)), { shell: true, detached: true, stdio: 'inherit' });
  const stop = (): void => {
    endGroup(child);
  };
  process.once('exit', stop);
  const close = async (): Promise<void> => {
    process.off('exit', stop);
    if (child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, 'exit');
    endGroup(child);
    await ended;
  };
  for (const deadline = performance.now() + startLimit; !(await listens(port)); await sleep(50)) {
    if (child.exitCode !== null) throw new Error(`the sink command ended with status ${child.exitCode}: ${command}`);
    if (performance.now() < deadline) continue;
    await close();
    throw new Error(`the sink command does not listen on port ${port} after ${startLimit / 1000} s: ${command}`);
  }
  return { endpoint: `http://127.0.0.1:${port}`, ca: undefined, close };
}

function endGroup({ pid }: ChildProcess): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, 'SIGTERM');
  } catch {
    // It has ended already.
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

async function listens(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1');
  try {
    await once(socket, 'connect');
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}
