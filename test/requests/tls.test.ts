/** Requests over TLS, whoever makes them: who trusts a server, and who does not, is the same for the SDK, for what leaves without it and for workers. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { after, before, beforeEach, describe, test } from 'node:test';
import tls, { createServer, type Server, type TLSSocket } from 'node:tls';
import { promisify } from 'node:util';
import { S3Client } from '@aws-sdk/client-s3';
import { LocalCertificates } from '../../src/local/tls/certificates.ts';
import { Bucket, rejection, TestEndpoint } from '../support/endpoint.ts';
import { leftDirectly } from '../support/sending.ts';
import type { TlsJob, TlsOutcome, TlsStep } from '../support/tls-run.ts';

const folder = mkdtempSync(join(tmpdir(), 'sealpipe-tls-'));
const authority = join(folder, 'ca.pem');
const certificates = new LocalCertificates(undefined);

/** TLS before the endpoint, with a certificate for one name. */
class Front {
  readonly #server: Server;
  readonly #sockets = new Set<TLSSocket>();
  /** Of each connection that was made. */
  readonly protocols: (string | null)[] = [];
  /** Bytes that came from clients. */
  received = 0;

  private constructor(server: Server, target: number) {
    this.#server = server;
    server.on('secureConnection', (socket) => {
      this.#sockets.add(socket);
      this.protocols.push(socket.getProtocol());
      const behind = connect(target, '127.0.0.1');
      socket.on('data', (bytes: Buffer) => {
        this.received += bytes.length;
      });
      socket.pipe(behind).pipe(socket);
      for (const end of [socket, behind])
        end
          .on('error', () => undefined)
          .on('close', () => {
            socket.destroy();
            behind.destroy();
          });
    });
  }

  static async start(name: string, target: number): Promise<Front> {
    const { SNICallback, ...own } = certificates.serverOptions();
    const server = createServer({
      ...own,
      SNICallback: (_, done) => SNICallback?.(name, done),
    });
    server.on('tlsClientError', () => undefined);
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return new Front(server, target);
  }

  get endpoint(): string {
    return `https://localhost:${(this.#server.address() as AddressInfo).port}`;
  }

  clear(): void {
    this.protocols.length = 0;
    this.received = 0;
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

let endpoint: TestEndpoint;
let front: Front;
let misnamed: Front;
before(async () => {
  writeFileSync(authority, certificates.ca);
  endpoint = await TestEndpoint.start();
  await endpoint.store('small', 'content');
  front = await Front.start('localhost', endpoint.local.port);
  misnamed = await Front.start('other.localhost', endpoint.local.port);
});
beforeEach(async () => {
  await endpoint.local.requests.settled();
  endpoint.local.requests.clear();
  front.clear();
  misnamed.clear();
});
after(async () => {
  await Promise.all([front.close(), misnamed.close(), endpoint.close()]);
  rmSync(folder, { recursive: true });
});

const kinds = ['put', 'get', 'range', 'generate', 'parts', 'ranges'];

interface RunOptions {
  readonly env?: Record<string, string>;
  readonly flags?: readonly string[];
  readonly job?: Partial<TlsJob>;
}

/** All kinds of request in a process of its own. */
async function run({ env = {}, flags = [], job = {} }: RunOptions = {}): Promise<Record<string, TlsStep>> {
  const inherited = Object.entries(process.env).filter(([name]) => !/^NODE_(?:EXTRA|TLS|USE)_|_proxy$/i.test(name));
  const { stdout } = await promisify(execFile)(
    process.execPath,
    ['--no-warnings', ...flags, join(import.meta.dirname, '../support/tls-run.js')],
    {
      env: {
        ...Object.fromEntries(inherited),
        ...env,
        SEALPIPE_TEST_TLS: JSON.stringify({
          endpoint: front.endpoint,
          credentials: endpoint.local.credentials,
          Bucket,
          ...job,
        }),
      },
    },
  );
  const steps = JSON.parse(stdout) as Record<string, TlsStep>;
  assert.deepEqual(Object.keys(steps), kinds);
  return steps;
}

/** Each kind of request left by the way that is meant, and all came to the same. */
function assertSame(steps: Record<string, TlsStep>, expected: (outcome: TlsOutcome) => boolean): void {
  for (const [kind, { client, other, direct }] of Object.entries(steps)) {
    assert.deepEqual(other, client, kind);
    assert.ok(expected(client), `${kind}: ${JSON.stringify(client)}`);
    if (kind !== 'parts' && kind !== 'ranges') assert.ok(direct > 0, `${kind} did not leave without the SDK`);
  }
}

const isOk = (outcome: TlsOutcome): boolean => outcome === 'ok';

describe('a server that the process trusts', () => {
  test('by NODE_EXTRA_CA_CERTS is reached by every way', async () => {
    const steps = await run({ env: { NODE_EXTRA_CA_CERTS: authority } });
    assertSame(steps, isOk);
    // What is not theirs: Create and Complete, Decrypt and the first of the GETs.
    assert.equal(steps.parts?.byClient, 2, 'parts went by workers');
    assert.equal((steps.ranges?.byClient ?? 0) + (steps.ranges?.direct ?? 0), 2, 'ranges came by workers');
    await endpoint.local.requests.settled();
    const log = endpoint.local.requests.all();
    assert.ok(log.every(({ status }) => status < 300));
    for (const operation of ['PutObject', 'GetObject', 'KMS.GenerateDataKey'])
      assert.ok(
        log.some((request) => request.operation === operation && leftDirectly(request)),
        operation,
      );
    assert.equal(log.filter(({ operation }) => operation === 'UploadPart').length, 2 * 6);
  });

  test('since NODE_TLS_REJECT_UNAUTHORIZED is 0 is reached by every way, be it set when the process runs', async () => {
    assertSame(await run({ env: { NODE_TLS_REJECT_UNAUTHORIZED: '0' } }), isOk);
    assertSame(await run({ job: { rejectUnauthorized: '0' } }), isOk);
  });

  const { setDefaultCACertificates } = tls as { setDefaultCACertificates?: unknown };
  const skip = setDefaultCACertificates === undefined && 'this Node has no setDefaultCACertificates';
  test('by setDefaultCACertificates is reached by every way', { skip }, async () => {
    assertSame(await run({ job: { authorities: [certificates.ca] } }), isOk);
  });

  test('is reached past a proxy of the environment, as by the SDK', async () => {
    const nowhere = 'http://127.0.0.1:9';
    const env = { HTTP_PROXY: nowhere, HTTPS_PROXY: nowhere, https_proxy: nowhere, NODE_USE_ENV_PROXY: '1' };
    assertSame(await run({ env: { ...env, NODE_EXTRA_CA_CERTS: authority } }), isOk);
  });

  test('is spoken to by the version of TLS that the command line says, by every way', async () => {
    assertSame(await run({ env: { NODE_EXTRA_CA_CERTS: authority }, flags: ['--tls-max-v1.2'] }), isOk);
    assert.deepEqual(new Set(front.protocols), new Set(['TLSv1.2']));
  });
});

describe('a process in which', () => {
  /** Run before anything else, as with `--import`: `pem` is the authority. */
  const takenOver = async (program: string, env: Record<string, string> = {}): Promise<Record<string, TlsStep>> => {
    const source = `import https from 'node:https'; import tls from 'node:tls';
      const pem = ${JSON.stringify(certificates.ca)};
      ${program}`;
    const flags = ['--import', `data:text/javascript,${encodeURIComponent(source)}`];
    return run({ env, flags, job: { transport: 'auto' } });
  };
  const leaveByClient = (steps: Record<string, TlsStep>): void => {
    for (const [kind, { client, other, direct }] of Object.entries(steps))
      assert.deepEqual({ client, other, direct }, { client: 'ok', other: 'ok', direct: 0 }, kind);
    // Create and Complete, six parts, and the key of KMS.
    assert.equal(steps.parts?.byClient, 2 + 6 + 1);
  };

  test('requests of https are taken over, for a proxy or a stub, has all of them taken over', async () => {
    leaveByClient(
      await takenOver(
        `const own = https.request;
         https.request = (options, callback) => own({ ...options, ca: pem, agent: false }, callback);`,
      ),
    );
  });

  test('authorities are put into every connection has them in all of them', async () => {
    leaveByClient(
      await takenOver(
        `const own = tls.createSecureContext;
         tls.createSecureContext = (options) => {
           const made = own(options);
           made.context.addCACert(pem);
           return made;
         };`,
      ),
    );
  });

  test('requests of https are watched has what this thread sends watched, and parts by workers', async () => {
    const steps = await takenOver(
      `const own = https.request;
       const request = (...args) => own(...args);
       https.request = Object.assign(request, { __original: own, __wrapped: true });`,
      { NODE_EXTRA_CA_CERTS: authority },
    );
    for (const [kind, { client, other, direct }] of Object.entries(steps))
      assert.deepEqual({ client, other, direct }, { client: 'ok', other: 'ok', direct: 0 }, kind);
    assert.equal(steps.parts?.byClient, 2 + 1);
  });
});

describe('a server that the process does not trust', () => {
  const codeOf = (outcome: TlsOutcome): unknown => (outcome as { code?: unknown }).code;
  // What encrypts names it in terms of its own, which are compared with the client's.
  const isRefused =
    (...codes: string[]) =>
    (outcome: TlsOutcome): boolean =>
      [...codes, 'ERR_SEALPIPE_KMS_UNAVAILABLE', 'ERR_SEALPIPE_NETWORK'].includes(String(codeOf(outcome)));

  test('by its authority is sent nothing, and the error is the SDK’s', async () => {
    const steps = await run();
    assertSame(steps, isRefused('UNABLE_TO_VERIFY_LEAF_SIGNATURE', 'SELF_SIGNED_CERT_IN_CHAIN'));
    assert.deepEqual([front.received, endpoint.local.requests.length], [0, 0]);
  });

  test('by its name is sent nothing, and the error is the SDK’s', async () => {
    const steps = await run({
      env: { NODE_EXTRA_CA_CERTS: authority },
      job: { endpoint: misnamed.endpoint },
    });
    assertSame(steps, isRefused('ERR_TLS_CERT_ALTNAME_INVALID'));
    assert.deepEqual([misnamed.received, endpoint.local.requests.length], [0, 0]);
  });

  test('but the client does, by an agent of the caller’s, is sent no part by workers unless they were asked for, and nothing then', async () => {
    const { Agent } = await import('node:https');
    const httpsAgent = new Agent({ ca: certificates.ca });
    const client = new S3Client({
      ...endpoint.local.s3Config,
      endpoint: front.endpoint,
      requestHandler: { httpsAgent },
    });
    const s3 = endpoint.encrypted({ client });
    const upload = (transport: 'auto' | 'workers'): Promise<unknown> =>
      s3
        .upload(
          { Bucket, Key: 'agent', Body: Readable.from([Buffer.alloc(11 * 1024 * 1024)]) },
          { transport, workers: 1, partSize: 5 * 1024 * 1024, partAttempts: 1, restarts: 0 },
        )
        .done();
    await upload('auto');
    await endpoint.local.requests.settled();
    assert.equal(endpoint.local.requests.all('UploadPart').length, 3);
    endpoint.local.requests.clear();
    await rejection(upload('workers'));
    await endpoint.local.requests.settled();
    assert.equal(endpoint.local.requests.all('UploadPart').length, 0);
    client.destroy();
  });
});
