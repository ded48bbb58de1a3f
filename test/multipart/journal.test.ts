import assert from 'node:assert/strict';
import { execFile, execFileSync, fork, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import {
  appendFileSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmdirSync,
  rmSync,
  statSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { after, before, beforeEach, test } from 'node:test';
import { promisify } from 'node:util';
import { SealpipeError } from '../../src/errors.ts';
import type { RequestLogEntry } from '../../src/local/index.ts';
import type { EncryptedUploadParams, UploadOptions } from '../../src/multipart/encrypted-upload.ts';
import { Bucket, bytesOf, rejection, TestEndpoint } from '../support/endpoint.ts';
import { failure } from '../support/failure.ts';
import { killAtRandom } from '../support/killed.ts';
import { projectRoot } from '../support/project.ts';
import { type RestedSource, RestedSources } from '../support/rested-sources.ts';
import { until } from '../support/stream-ends.ts';

const MiB = 1024 * 1024;
const partSize = 5 * MiB;
const sources = new RestedSources('journal');
let endpoint: TestEndpoint;

const newSource = (length: number): RestedSource => sources.create(length);

before(async () => {
  endpoint = await TestEndpoint.start();
});
beforeEach(() => {
  endpoint.local.faults.clear();
  endpoint.local.requests.clear();
});
after(async () => {
  await endpoint.close();
  sources.remove();
});

const code = (error: unknown): string =>
  error instanceof SealpipeError ? error.code.replace('ERR_SEALPIPE_', '') : String(error);
const upload = (source: RestedSource, options: UploadOptions = {}): Promise<unknown> =>
  endpoint
    .encrypted()
    .upload({ Bucket, Key: source.Key, Body: { path: source.path } }, { partSize, journal: source.journal, ...options })
    .done();
const read = async (Key: string): Promise<Buffer> => bytesOf((await endpoint.encrypted().get({ Bucket, Key })).body);

/** No counter was used for two ciphertexts: every part that arrived whole under one upload id had the same bytes each time. */
function assertNoCounterTwice(entries: readonly RequestLogEntry[]): void {
  const seen = new Map<string, string>();
  for (const { uploadId, partNumber, bodySha256, complete } of entries) {
    if (!complete || bodySha256 === undefined) continue;
    const place = `${uploadId} ${partNumber}`;
    assert.equal(
      seen.get(place) ?? bodySha256,
      bodySha256,
      `part ${partNumber} was sent with other bytes under the same key`,
    );
    seen.set(place, bodySha256);
  }
}

for (const workers of [0, 2]) {
  test(`an upload that fails in the middle goes on where it stopped, ${workers} workers`, async () => {
    const source = newSource(6 * partSize + 77);
    endpoint.local.faults.add({ operation: 'UploadPart', partNumber: 5, times: 'always', status: 503 });
    const error = await rejection(upload(source, { workers, partAttempts: 2, queueSize: 2 }));
    assert.equal(code(error), 'PART_FAILED');
    assert.match((error as Error).message, /journal .* keeps what is stored: run the same again/);
    assert.ok(existsSync(source.journal));
    assert.equal(statSync(source.journal).mode & 0o777, 0o600);
    await endpoint.local.requests.settled();
    const before = endpoint.local.requests
      .all('UploadPart')
      .filter(({ status }) => status === 200)
      .map(({ partNumber }) => partNumber);
    assert.ok(before.length >= 3);

    endpoint.local.faults.clear();
    const counts = await endpoint.requestsOf(() => upload(source, { workers }));
    assert.equal(counts.CreateMultipartUpload, undefined);
    assert.equal(counts['KMS.Decrypt'], 1);
    assert.equal(counts['KMS.GenerateDataKey'], undefined);
    // The one beside the failing part may have been stored without its answer being heard any more.
    const missing = 7 - before.length;
    const { UploadPart: sent = 0 } = counts;
    assert.ok(sent === missing || sent === missing + 1, `${sent} parts were sent, ${missing} were missing`);
    assert.ok((await read(source.Key)).equals(source.content));
    assert.equal(existsSync(source.journal), false);
    await endpoint.assertNoUploads(source.Key);
  });
}

for (const workers of [0, 2]) {
  test(`a part that waits for its turn is not begun any more when the one before it has failed, ${workers} workers`, async () => {
    endpoint.local.faults.add({ operation: 'UploadPart', partNumber: 3, times: 'always', status: 503, delay: 50 });
    for (let round = 0; round < 5; round++) {
      const source = newSource(8 * partSize);
      const error = await rejection(upload(source, { workers, queueSize: 1, partAttempts: 1 }));
      assert.equal(code(error), 'PART_FAILED');
      await endpoint.local.requests.settled();
      const sent = endpoint.local.requests
        .all('UploadPart')
        .filter(({ key }) => key === source.Key)
        .map(({ partNumber }) => partNumber);
      assert.equal(sent.at(-1), 3, `sent were ${sent.join(', ')}`);
    }
  });
}

test('an aborted upload keeps its journal and its parts; without a journal it keeps nothing', async () => {
  const source = newSource(4 * partSize);
  const late = endpoint.local.faults.add({ operation: 'UploadPart', partNumber: [3, 4], delay: 5000 });
  const controller = new AbortController();
  const aborted = rejection(upload(source, { signal: controller.signal }));
  await until(() => late.hits > 0, 'the third or fourth part');
  controller.abort();
  assert.equal(code(await aborted), 'ABORTED');
  assert.ok(existsSync(source.journal));
  endpoint.local.faults.clear();
  await upload(source);
  assert.ok((await read(source.Key)).equals(source.content));
  await endpoint.assertNoUploads(source.Key);
});

test('a source that was changed in between is refused before anything is sent', async () => {
  for (const change of [
    (path: string) => appendFileSync(path, 'x'),
    (path: string) => writeFileSync(path, randomBytes(100), { flag: 'r+' }),
    (path: string) => utimesSync(path, 1, 1),
    (path: string, content: Buffer) => {
      rmSync(path);
      writeFileSync(path, content);
    },
  ]) {
    const source = newSource(4 * partSize);
    endpoint.local.faults.set([{ operation: 'UploadPart', partNumber: 3, times: 'always', status: 503 }]);
    await rejection(upload(source, { partAttempts: 1 }));
    endpoint.local.faults.clear();
    change(source.path, source.content);
    const counts = await endpoint.requestsOf(async () => {
      const error = await rejection(upload(source));
      assert.equal(code(error), 'SOURCE_CHANGED');
      assert.match((error as Error).message, /remove the journal/);
    });
    assert.deepEqual(counts, {});
    assert.ok(existsSync(source.journal));
  }
});

test('a journal of another object, and a file that is none, are refused', async () => {
  const source = newSource(3 * partSize);
  endpoint.local.faults.set([{ operation: 'UploadPart', partNumber: 2, times: 'always', status: 503 }]);
  await rejection(upload(source, { partAttempts: 1 }));
  endpoint.local.faults.clear();
  assert.equal(code(await rejection(upload({ ...source, Key: 'another' }))), 'JOURNAL_INVALID');
  for (const content of ['', 'not a journal', randomBytes(5000)]) {
    const broken = newSource(3 * partSize);
    writeFileSync(broken.journal, content);
    assert.equal(code(await rejection(upload(broken))), 'JOURNAL_INVALID');
  }
  await assert.rejects(
    endpoint
      .encrypted()
      .upload({ Bucket, Key: 'k', Body: 'text' }, { journal: join(sources.folder, 'none') })
      .done(),
    /a journal was given, but the source is no file/,
  );
});

test('a damaged journal is an error, a torn one is cut back', async () => {
  const source = newSource(6 * partSize);
  endpoint.local.faults.set([{ operation: 'UploadPart', partNumber: 6, times: 'always', status: 503 }]);
  await rejection(upload(source, { partAttempts: 1, queueSize: 1 }));
  endpoint.local.faults.clear();
  const whole = readFileSync(source.journal);
  const header = 4 + whole.readUInt32BE(0);

  for (const at of [20, header - 3, header + 2, header + 30, Math.floor((header + whole.length) / 2)]) {
    const damaged = Buffer.from(whole);
    damaged[at]! ^= 1;
    writeFileSync(source.journal, damaged);
    const error = await rejection(upload(source));
    assert.ok(['JOURNAL_INVALID', 'SOURCE_CHANGED'].includes(code(error)), `byte ${at}: ${String(error)}`);
  }
  // A tear anywhere in the records loses at most what it cut off.
  writeFileSync(source.journal, whole);
  truncateSync(source.journal, whole.length - 9);
  appendFileSync(source.journal, randomBytes(4));
  await upload(source);
  assert.ok((await read(source.Key)).equals(source.content));
});

/** A journal with two parts stored. */
async function interrupted(source: RestedSource): Promise<void> {
  endpoint.local.faults.set([{ operation: 'UploadPart', partNumber: 3, times: 'always', status: 503 }]);
  await rejection(upload(source, { partAttempts: 1, queueSize: 1 }));
  endpoint.local.faults.clear();
}

test('a journal whose header is no header, or holds another envelope, is said to be what is wrong', async () => {
  const source = newSource(4 * partSize);
  await interrupted(source);
  const whole = readFileSync(source.journal);
  const start = 4 + 17 + 4;
  const header = JSON.parse(whole.toString('utf8', start, start + whole.readUInt32BE(start - 4))) as {
    envelope: Record<string, string>;
  };
  for (const wrong of [
    { ...header, envelope: null },
    { ...header, source: null },
    { ...header, envelope: { ...header.envelope, 'x-amz-3': null } },
    { ...header, envelope: {} },
    { ...header, envelope: { ...header.envelope, 'x-amz-d': Buffer.alloc(28).toString('base64') } },
  ]) {
    const clear = Buffer.from(JSON.stringify(wrong));
    const bytes = Buffer.alloc(start + clear.length + 16);
    whole.copy(bytes, 0, 0, start);
    bytes.writeUInt32BE(bytes.length - 4, 0);
    bytes.writeUInt32BE(clear.length, start - 4);
    clear.copy(bytes, start);
    writeFileSync(source.journal, bytes);
    const error = await rejection(upload(source));
    assert.equal(code(error), 'JOURNAL_INVALID', String(error));
    assert.ok((error as Error).message.includes(source.journal));
  }
  writeFileSync(source.journal, whole);
  await upload(source);
  assert.ok((await read(source.Key)).equals(source.content));
});

test('a call that fails before it goes on lets go of the journal: the next one goes on', async () => {
  const source = newSource(4 * partSize);
  await interrupted(source);
  const indexed = { ...source, Key: `${source.Key}-indexed`, journal: `${source.journal}-indexed` };
  endpoint.local.faults.set([{ operation: 'UploadPart', partNumber: 3, times: 'always', status: 503 }]);
  await rejection(upload(indexed, { segmentIndex: true, partAttempts: 1, queueSize: 1 }));
  endpoint.local.faults.set([{ operation: 'GetObject', times: 'always', status: 400, code: 'InvalidRequest' }]);
  assert.equal(code(await rejection(upload(indexed, { segmentIndex: true }))), 'REQUEST_REJECTED');
  endpoint.local.faults.clear();
  await upload(indexed, { segmentIndex: true });
  assert.ok((await read(indexed.Key)).equals(source.content));
  await upload(source);
});

test('a failure that keeps the journal keeps its cause, too', async () => {
  const source = newSource(4 * partSize);
  for (const operation of ['UploadPart', 'KMS.*', 'ListParts']) {
    const under = endpoint.local.faults.add({ operation, times: 'always', delay: 300 });
    const controller = new AbortController();
    const failed = rejection(upload(source, { signal: controller.signal }));
    await until(() => under.hits > 0, operation);
    controller.abort(new Error('never mind'));
    const error = await failed;
    assert.equal(code(error), 'ABORTED');
    assert.equal((error as Error).cause, controller.signal.reason, operation);
    under.remove();
  }
  await upload(source);
});

test('where no thread is to be had the error says what to do, and the journal is let go of', {
  timeout: 60_000,
}, async () => {
  const { path, journal } = newSource(0);
  // As large as an upload has to be to ask for memory, and threads, beforehand.
  truncateSync(path, 64 * MiB);
  utimesSync(path, Date.now() / 1000 - 60, Date.now() / 1000 - 60);
  endpoint.local.faults.add({ operation: 'UploadPart', partNumber: 2, status: 403, times: 1 });
  const { s3Config: s3, kmsConfig: kms } = endpoint.local;
  const flags = ['--allow-fs-read=*', '--allow-fs-write=*', '--no-warnings'];
  const permission = process.allowedNodeEnvironmentFlags.has('--permission')
    ? '--permission'
    : '--experimental-permission';
  const program = join(import.meta.dirname, '../support/threadless-upload.js');
  const job = JSON.stringify({ s3, kms, Bucket, path, journal });
  // Beside this process, which is its S3.
  const { stdout } = await promisify(execFile)(process.execPath, [permission, ...flags, program, job]);
  const [failed, threadless, done] = stdout.split('\n');
  assert.match(failed ?? '', /^ERR_SEALPIPE_ACCESS_DENIED/);
  assert.match(threadless ?? '', /^ERR_SEALPIPE_WORKER_FAILED: .*give fewer workers, or workers: 0/);
  assert.equal(done, 'done');
});

test('parameters of the object that differ from those of the beginning are refused, before anything is sent', async () => {
  const source = newSource(4 * partSize);
  const begun = {
    ContentType: 'text/csv',
    Metadata: { run: '1', team: 'sales' },
    Expires: new Date(1e12),
    CacheControl: undefined,
  };
  const call = (params: Partial<EncryptedUploadParams>, options: UploadOptions = {}): Promise<unknown> => {
    const where = { Bucket, Key: source.Key, Body: { path: source.path } };
    return endpoint
      .encrypted()
      .upload({ ...where, ...params }, { partSize, journal: source.journal, ...options })
      .done();
  };
  endpoint.local.faults.set([{ operation: 'UploadPart', partNumber: 3, times: 'always', status: 503 }]);
  await rejection(call(begun, { partAttempts: 1, queueSize: 1 }));
  endpoint.local.faults.clear();
  const others: [Partial<EncryptedUploadParams>, UploadOptions?][] = [
    [{ ...begun, ContentType: 'text/plain' }],
    [{ ...begun, Metadata: { run: '2', team: 'sales' } }],
    [{ ...begun, Expires: undefined }],
    [{ ...begun, StorageClass: 'STANDARD_IA' }],
    [begun, { tags: [{ Key: 'a', Value: 'b' }] }],
  ];
  for (const [params, options] of others) {
    const counts = await endpoint.requestsOf(async () => {
      const error = await rejection(call(params, options));
      failure('JOURNAL_INVALID', /begun with other parameters .*give the same again, or remove the journal/)(error);
      assert.match(String((error as SealpipeError).uploadId), /./);
    });
    assert.deepEqual(counts, { 'KMS.Decrypt': 1 });
  }
  const { Metadata, ...rest } = begun;
  await call({ IfNoneMatch: '*', ...rest, Metadata: { team: 'sales', run: '1' }, StorageClass: undefined });
  assert.ok((await read(source.Key)).equals(source.content));
});

test('a source that changes while the upload goes on is refused with what is left on S3', async () => {
  for (const workers of [0, 2]) {
    const source = newSource(4 * partSize);
    await interrupted(source);
    const asked = endpoint.local.faults.add({ operation: 'KMS.*', delay: 300 });
    const failed = rejection(upload(source, { workers }));
    await until(() => asked.hits > 0, 'the request to KMS');
    appendFileSync(source.path, 'x');
    const error = (await failed) as SealpipeError;
    assert.equal(code(error), 'SOURCE_CHANGED');
    assert.match(error.message, /remove the journal .* start afresh; the parts of upload /);
    assert.ok(error.uploadId !== undefined && error.message.includes(error.uploadId));
    assert.ok(existsSync(source.journal));
  }
});

test('a list of parts that never comes is a network error, and the journal stays', { timeout: 60_000 }, async () => {
  const source = newSource(4 * partSize);
  await interrupted(source);
  endpoint.local.faults.set([{ operation: 'ListParts', stallResponseAfter: 0, times: 'always' }]);
  assert.equal(code(await rejection(upload(source, { partTimeout: 200 }))), 'NETWORK');
  endpoint.local.faults.clear();
  await upload(source);
  assert.equal(existsSync(source.journal), false);
  assert.ok((await read(source.Key)).equals(source.content));
});

test('a journal that cannot be removed does not turn a finished upload into a failed one', async () => {
  const source = newSource(3 * partSize);
  const running = endpoint
    .encrypted()
    .upload({ Bucket, Key: source.Key, Body: { path: source.path } }, { partSize, journal: source.journal });
  running.once('httpUploadProgress', () => {
    rmSync(source.journal);
    mkdirSync(source.journal);
  });
  assert.equal((await running.done()).plaintextSize, source.content.length);
  rmdirSync(source.journal);
  await upload(source);
});

test('a journal named from the folder that the process was in then is the one there, wherever that goes', async () => {
  const source = newSource(3 * partSize);
  const folder = process.cwd();
  process.chdir(dirname(source.journal));
  try {
    const running = endpoint
      .encrypted()
      .upload(
        { Bucket, Key: source.Key, Body: { path: source.path } },
        { partSize, journal: basename(source.journal) },
      );
    running.once('httpUploadProgress', () => process.chdir(folder));
    await running.done();
  } finally {
    process.chdir(folder);
  }
  assert.equal(existsSync(source.journal), false);
});

test('a record that the disk has taken a part of counts as not written', { skip: process.platform === 'win32' }, () => {
  const folder = mkdtempSync(join(tmpdir(), 'sealpipe-short-'));
  const script = `
    import { JournalFile } from ${JSON.stringify(join(projectRoot, 'build/src/multipart/journal/journal-file.js'))};
    const file = await JournalFile.create(process.argv[1] + '/journal', Buffer.alloc(500, 1));
    await file.append(Buffer.alloc(20_000, 2)).then(() => console.log('written'), (error) => console.log(error.code));
    await file.close();
  `;
  // Of 512 bytes or of 1 KiB each, as the shell has it: it ends within the record.
  const shell = ['-c', 'ulimit -f 8 && exec "$0" --input-type=module -e "$1" "$2"', process.execPath, script, folder];
  const { stdout } = spawnSync('sh', shell);
  rmSync(folder, { recursive: true });
  assert.equal(String(stdout), 'ERR_SEALPIPE_JOURNAL_INVALID\n');
});

for (const kind of ['FIFO', 'directory'] as const) {
  test(`a source whose place a ${kind} has taken by the time it is read is refused, by threads and without`, {
    skip: process.platform === 'win32',
    timeout: 60_000,
  }, async () => {
    for (const workers of [0, 1]) {
      const source = newSource(3 * partSize);
      const asked = endpoint.local.faults.add({ operation: 'KMS.*', delay: 300, times: 'always' });
      const failed = rejection(upload(source, { workers }));
      await until(() => asked.hits > 0, 'the request to KMS');
      rmSync(source.path);
      if (kind === 'FIFO') execFileSync('mkfifo', [source.path]);
      else mkdirSync(source.path);
      assert.equal(code(await failed), 'SOURCE_CHANGED');
      asked.remove();
      rmSync(source.path, { recursive: true });
      await endpoint.assertNoUploads(source.Key);
    }
  });
}

test('two uploads with one journal: the second is refused while the first runs', async () => {
  const source = newSource(3 * partSize);
  endpoint.local.faults.set([{ operation: 'UploadPart', delay: 1000, times: 'always' }]);
  const first = upload(source);
  while (endpoint.local.requests.active === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  assert.equal(code(await rejection(upload(source))), 'JOURNAL_BUSY');
  await first;
});

test('a journal that was copied and resumed twice leads to a fresh start, never to a second ciphertext', async () => {
  const source = newSource(9 * partSize);
  endpoint.local.faults.set([{ operation: 'UploadPart', partNumber: 2, times: 'always', status: 503 }]);
  await rejection(upload(source, { partAttempts: 1, queueSize: 1 }));
  const copy = `${source.journal}-copy`;
  copyFileSync(source.journal, copy);
  endpoint.local.faults.set([{ operation: 'UploadPart', partNumber: 8, times: 'always', status: 503 }]);
  await rejection(upload(source, { partAttempts: 1, queueSize: 1 }));
  endpoint.local.faults.clear();
  await upload({ ...source, journal: copy });
  assert.ok((await read(source.Key)).equals(source.content));
  assert.equal(endpoint.local.requests.count('CreateMultipartUpload'), 2);
  // The first journal now finds its upload gone, and another object in its place: it starts afresh, too.
  await upload(source);
  assert.ok((await read(source.Key)).equals(source.content));
  assertNoCounterTwice(endpoint.local.requests.all('UploadPart'));
  await endpoint.assertNoUploads(source.Key);
});

test('an upload that had been completed is recognised by what is there', async () => {
  const source = newSource(3 * partSize);
  // All parts are stored, Complete is done, and the process hears of nothing any more.
  endpoint.local.faults.set([
    { operation: 'CompleteMultipartUpload', loseAnswer: true, times: 'always' },
    { operation: 'HeadObject', times: 'always', status: 500 },
  ]);
  await rejection(upload(source, { partAttempts: 1 }));
  endpoint.local.faults.clear();
  assert.ok(existsSync(source.journal));
  const counts = await endpoint.requestsOf(() => upload(source));
  assert.deepEqual(counts, { 'KMS.Decrypt': 1, ListParts: 1, HeadObject: 1 });
  assert.equal(existsSync(source.journal), false);
});

test('a small file needs no journal, and leaves none', async () => {
  const source = newSource(1000);
  await upload(source);
  assert.equal(existsSync(source.journal), false);
  assert.ok((await read(source.Key)).equals(source.content));
});

test('killed at random moments, the same call finishes the object, and sends again no more than was in flight', async (t) => {
  const rounds = process.env.SLOW === undefined ? 3 : 20;
  for (let round = 0; round < rounds; round++) {
    const source = newSource(12 * partSize + 5);
    // Slow enough for a process to be killed in the middle.
    endpoint.local.faults.set([{ operation: 'UploadPart', delay: 60, times: 'always' }]);
    endpoint.local.requests.clear();
    let kills = 0;
    for (;;) {
      const child = fork(join(import.meta.dirname, '../support/journalled-upload.js'), [], {
        execArgv: ['--no-warnings'],
        env: {
          ...process.env,
          SEALPIPE_TEST_UPLOAD: JSON.stringify({
            s3: endpoint.local.s3Config,
            kms: endpoint.local.kmsConfig,
            Bucket,
            partSize,
            ...source,
            content: undefined,
          }),
        },
        stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
      });
      const ended = new Promise<{ status: number | null }>((resolve) =>
        child.once('exit', (status) => resolve({ status })),
      );
      if (kills < 2) await killAtRandom(child, endpoint.local);
      const { status } = await ended;
      if (status === 0) break;
      assert.equal(status, null, 'the child failed by itself');
      await endpoint.local.requests.settled();
      // A kill that came when all was done is none: the same call would rightly upload the object anew.
      if (endpoint.local.requests.count('CompleteMultipartUpload') > 0 && !existsSync(source.journal)) break;
      kills += 1;
    }
    const sends = endpoint.local.requests.all('UploadPart');
    assertNoCounterTwice(sends);
    const arrived = sends.filter(({ complete }) => complete).length;
    t.diagnostic(`${kills} kills, ${arrived} sends of 13 parts`);
    assert.ok(arrived <= 13 + 4 * kills, `${arrived} sends of 13 parts after ${kills} kills`);
    assert.ok((await read(source.Key)).equals(source.content));
    assert.equal(existsSync(source.journal), false);
    // A kill between Create and the journal's first sync leaves an upload that nobody knows of; everything else is cleaned up.
  }
});
