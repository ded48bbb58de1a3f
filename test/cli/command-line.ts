/** The built command line as a child process, and an endpoint for it in this one. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { after } from 'node:test';
import { KMSClient } from '@aws-sdk/client-kms';
import { CreateBucketCommand, ListMultipartUploadsCommand, S3Client } from '@aws-sdk/client-s3';
import { type LocalEndpoint, type LocalEndpointOptions, startLocalEndpoint } from '../../src/local/index.ts';
import { projectRoot } from '../support/project.ts';

export const mainPath: string = join(projectRoot, 'dist/cli/main.js');

export interface Outcome {
  readonly status: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: Buffer;
  readonly stderr: string;
}

export interface RunOptions {
  readonly stdin?: Buffer | Readable | 'inherit';
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** Another program than the command line. */
  readonly program?: string;
  /** A shell line around the command, which is `"$@"` in it. */
  readonly shell?: string;
  /** Called once the process runs. */
  readonly started?: (child: ChildProcess) => void;
}

/** Longest that a command may take: far more than any does, so that a hang is a failure and no hang. */
const deadline = 60_000;

/** A test's endpoint, folder and secrets. */
export class CommandLine {
  readonly folder: string;
  readonly endpoint: LocalEndpoint;
  readonly s3: S3Client;
  readonly kms: KMSClient;
  /** No output may ever hold one of these. */
  readonly #secrets: string[] = [];

  private constructor(folder: string, endpoint: LocalEndpoint) {
    this.folder = folder;
    this.endpoint = endpoint;
    this.s3 = new S3Client(endpoint.s3Config);
    this.kms = new KMSClient(endpoint.kmsConfig);
    this.#secrets.push(endpoint.credentials.secretAccessKey);
  }

  /** Starts one for a test file; it ends with it. */
  static async start(options: LocalEndpointOptions = {}): Promise<CommandLine> {
    const endpoint = await startLocalEndpoint({
      credentials: { accessKeyId: 'TESTKEY', secretAccessKey: randomBytes(20).toString('hex') },
      allowInsecureLoopback: true,
      ...options,
    });
    const line = new CommandLine(mkdtempSync(join(tmpdir(), 'sealpipe-cli-')), endpoint);
    after(async () => {
      line.s3.destroy();
      line.kms.destroy();
      await endpoint.close();
      rmSync(line.folder, { recursive: true, force: true });
    });
    return line;
  }

  /** The environment of a command: this endpoint's credentials and nothing of this machine's configuration. */
  get env(): Record<string, string> {
    const { accessKeyId, secretAccessKey } = this.endpoint.credentials;
    return {
      PATH: process.env.PATH ?? '',
      HOME: this.folder,
      TMPDIR: tmpdir(),
      AWS_ACCESS_KEY_ID: accessKeyId,
      AWS_SECRET_ACCESS_KEY: secretAccessKey,
      AWS_EC2_METADATA_DISABLED: 'true',
    };
  }

  /** Options that lead a command to this endpoint. */
  get here(): readonly string[] {
    return ['--endpoint-url', this.endpoint.endpoint];
  }

  path(...names: string[]): string {
    return join(this.folder, ...names);
  }

  /** A folder of its own for a test that looks at what is left in it. */
  emptyFolder(): string {
    return mkdtempSync(join(this.folder, 'empty-'));
  }

  file(name: string, content: string | Buffer, mode = 0o600): string {
    const path = this.path(name);
    writeFileSync(path, content, { mode });
    return path;
  }

  /** An AES key file in hex, whose key no output may hold. */
  aesKeyFile(name: string, bytes = 32): string {
    const key = randomBytes(bytes);
    this.#secrets.push(key.toString('hex'), key.toString('base64'));
    return this.file(name, `${key.toString('hex')}\n`);
  }

  /** Makes a secret known that a test made itself. */
  secret(text: string): void {
    this.#secrets.push(text);
  }

  async bucket(name: string): Promise<string> {
    await this.s3.send(new CreateBucketCommand({ Bucket: name }));
    return name;
  }

  /** Multipart uploads that are left in a bucket, for keys that begin so. */
  async uploadsLeft(bucket: string, prefix = ''): Promise<string[]> {
    const { Uploads = [] } = await this.s3.send(new ListMultipartUploadsCommand({ Bucket: bucket, Prefix: prefix }));
    return Uploads.map(({ Key = '' }) => Key);
  }

  /** Runs `sealpipe …` to its end. */
  async run(args: readonly string[], options: RunOptions = {}): Promise<Outcome> {
    const { stdin, env = {}, cwd = this.folder, program: path = mainPath, shell, started } = options;
    const command = [process.execPath, path, ...args];
    const [program = '', ...rest] = shell === undefined ? command : ['/bin/sh', '-c', shell, 'sh', ...command];
    const child = spawn(program, rest, {
      cwd,
      env: { ...this.env, ...env },
      stdio: [stdin === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'],
    });
    const timer = setTimeout(() => child.kill('SIGKILL'), deadline);
    const [stdout, stderr] = [collect(child.stdout), collect(child.stderr)];
    const ended = new Promise<[number | null, NodeJS.Signals | null]>((resolve) => {
      child.once('close', (status, signal) => resolve([status, signal]));
    });
    started?.(child);
    if (stdin !== undefined && stdin !== 'inherit' && child.stdin !== null) {
      // The command may end before it has read everything.
      await pipeline(Buffer.isBuffer(stdin) ? [stdin] : stdin, child.stdin).catch(() => undefined);
    }
    const [status, signal] = await ended;
    clearTimeout(timer);
    const outcome = { status, signal, stdout: await stdout, stderr: (await stderr).toString('utf8') };
    const said = `${outcome.stdout.toString('latin1')}${outcome.stderr}`;
    for (const secret of this.#secrets)
      assert.ok(!said.includes(secret), `the output of ${args.join(' ')} holds a secret`);
    return outcome;
  }

  /** Runs a command that has to succeed in silence on stderr. */
  async ok(args: readonly string[], options: RunOptions = {}): Promise<Outcome> {
    const outcome = await this.run(args, options);
    assert.equal(outcome.stderr, '', args.join(' '));
    assert.equal(outcome.status, 0, args.join(' '));
    return outcome;
  }

  /** Runs a command that has to fail with exactly one line on stderr, and nothing on stdout. */
  async fails(args: readonly string[], expected: ExpectedFailure, options: RunOptions = {}): Promise<string> {
    const { status, stdout, stderr } = await this.run(args, options);
    assertFailure({ status, stdout: stdout.toString('latin1'), stderr }, expected, args);
    return stderr;
  }

  /** Runs commands one after the other in one child process, as starting one for each takes most of the time. */
  async runAll(commands: readonly (readonly string[])[]): Promise<BriefOutcome[]> {
    const stdin = Buffer.from(JSON.stringify(commands));
    const { stdout } = await this.ok([], { stdin, program: join(import.meta.dirname, 'in-one-process.js') });
    return JSON.parse(stdout.toString('utf8')) as BriefOutcome[];
  }

  /** As {@link fails}, of many commands in one process. */
  async allFail(rows: readonly (readonly [args: readonly string[], expected: ExpectedFailure])[]): Promise<void> {
    const outcomes = await this.runAll(rows.map(([args]) => args));
    for (const [index, [args, expected]] of rows.entries())
      assertFailure(outcomes[index] ?? assert.fail(), expected, args);
  }
}

export interface BriefOutcome {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Exactly one line on stderr with the code, its exit status, and nothing on stdout. */
export function assertFailure(
  { status, stdout, stderr }: BriefOutcome,
  { code, status: expectedStatus = code === 'USAGE' ? 2 : 1, message }: ExpectedFailure,
  args: readonly string[],
): void {
  const what = `${args.join(' ')}: ${stderr}`;
  assert.match(stderr, /^sealpipe: ERR_SEALPIPE_[A-Z_]+: [^\n]+\n$/, what);
  assert.ok(stderr.startsWith(`sealpipe: ERR_SEALPIPE_${code}: `), what);
  if (message !== undefined) assert.match(stderr, message, what);
  assert.deepEqual([status, stdout], [expectedStatus, ''], what);
}

/** What is expected of a command that fails. */
export interface ExpectedFailure {
  readonly code: string;
  readonly status?: number;
  readonly message?: RegExp;
}

/** The JSON documents of an output, one a line. */
export function documents(stdout: Buffer): unknown[] {
  return stdout
    .toString('utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as unknown);
}

/** Names in a folder, hidden ones too. */
export function namesIn(folder: string): string[] {
  return readdirSync(folder).sort();
}

async function collect(stream: Readable | null): Promise<Buffer> {
  const chunks: Buffer[] = [];
  if (stream !== null) for await (const chunk of stream as AsyncIterable<Buffer>) chunks.push(chunk);
  return Buffer.concat(chunks);
}
