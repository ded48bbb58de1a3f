import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import {
  chmodSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, beforeEach, describe, test } from 'node:test';
import { TargetFile } from '../../src/objects/target-file.ts';
import { failure } from '../support/failure.ts';
import { projectRoot } from '../support/project.ts';
import { pieces } from '../support/properties.ts';

const root = mkdtempSync(join(tmpdir(), 'sealpipe-target-'));
after(() => rmSync(root, { recursive: true }));
let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(root, 'case-'));
});

const unprivileged = process.getuid?.() === 0 && 'root may write anywhere';

async function write(path: string, chunks: readonly Uint8Array[]): Promise<void> {
  const target = await TargetFile.create(path);
  for (const chunk of chunks) await target.write(chunk);
  await target.commit();
}

describe('a target file', () => {
  test('appears whole, of any length and in pieces of any size', async () => {
    for (const [length, step] of [
      [0, 1],
      [1, 1],
      [5000, 1],
      [1024 * 1024 - 1, 65_536],
      [1024 * 1024, 65_536],
      [3 * 1024 * 1024 + 17, 100_003],
      [3_000_000, 3_000_000],
    ] as const) {
      const path = join(folder, 'target');
      const bytes = randomBytes(length);
      await write(path, pieces(bytes, step));
      assert.ok(readFileSync(path).equals(bytes), `length ${length}`);
    }
    assert.deepEqual(readdirSync(folder), ['target']);
  });

  test('is not there, and what was there is as it was, until it is committed', async () => {
    const path = join(folder, 'target');
    writeFileSync(path, 'old');
    const target = await TargetFile.create(path);
    await target.write(Buffer.alloc(2 * 1024 * 1024));
    assert.equal(readFileSync(path, 'utf8'), 'old');
    await target.commit();
    assert.equal(statSync(path).size, 2 * 1024 * 1024);
  });

  test('that is discarded leaves nothing, and what was there stays', async () => {
    const path = join(folder, 'target');
    writeFileSync(path, 'old');
    for (const written of [0, 10, 2 * 1024 * 1024]) {
      const target = await TargetFile.create(path);
      await target.write(Buffer.alloc(written));
      await target.discard();
      await target.discard();
      assert.deepEqual(readdirSync(folder), ['target']);
      assert.equal(readFileSync(path, 'utf8'), 'old');
    }
  });

  test('can be read by its owner alone', { skip: process.platform === 'win32' }, async () => {
    const path = join(folder, 'target');
    const target = await TargetFile.create(path);
    await target.write(Buffer.from('x'));
    const [temporary] = readdirSync(folder);
    assert.equal(statSync(join(folder, temporary as string)).mode & 0o777, 0o600);
    await target.commit();
    assert.equal(statSync(path).mode & 0o777, 0o600);
  });

  test('lies under a hidden name of its own beside the target until then, also for a long name', async () => {
    for (const name of ['target', 'n'.repeat(255), '名'.repeat(80), '😀'.repeat(60)]) {
      const path = join(folder, name);
      const target = await TargetFile.create(path);
      const [temporary = ''] = readdirSync(folder);
      assert.match(temporary, /^\..+\.[0-9a-f]{12}\.sealpipe$/s);
      await target.commit();
      assert.deepEqual(readdirSync(folder), [name]);
      rmSync(path);
    }
  });

  test('of two at the same time, each is whole, and the last one to be committed stays', async () => {
    const path = join(folder, 'target');
    const [one, two] = await Promise.all([TargetFile.create(path), TargetFile.create(path)]);
    await Promise.all([one.write(Buffer.from('one')), two.write(Buffer.from('two'))]);
    await one.commit();
    await two.commit();
    assert.equal(readFileSync(path, 'utf8'), 'two');
    assert.deepEqual(readdirSync(folder), ['target']);
  });
});

describe('a link as the target', () => {
  test('stays a link: the file that it points to is replaced', async () => {
    mkdirSync(join(folder, 'elsewhere'));
    writeFileSync(join(folder, 'elsewhere', 'file'), 'old');
    symlinkSync('elsewhere/file', join(folder, 'link'));
    symlinkSync('link', join(folder, 'link-to-link'));
    await write(join(folder, 'link-to-link'), [Buffer.from('new')]);
    assert.equal(readFileSync(join(folder, 'elsewhere', 'file'), 'utf8'), 'new');
    assert.equal(readlinkSync(join(folder, 'link')), 'elsewhere/file');
    assert.equal(readlinkSync(join(folder, 'link-to-link')), 'link');
    assert.deepEqual(readdirSync(join(folder, 'elsewhere')), ['file']);
  });

  test('that points to nothing yet makes the file that it points to', async () => {
    mkdirSync(join(folder, 'elsewhere'));
    symlinkSync(join(folder, 'elsewhere', 'file'), join(folder, 'absolute'));
    symlinkSync('absolute', join(folder, 'relative'));
    await write(join(folder, 'relative'), [Buffer.from('new')]);
    assert.equal(readFileSync(join(folder, 'elsewhere', 'file'), 'utf8'), 'new');
    assert.ok(lstatSync(join(folder, 'relative')).isSymbolicLink());
  });

  test('that points into a folder that does not exist is refused', async () => {
    symlinkSync('no-such-folder/file', join(folder, 'link'));
    await assert.rejects(TargetFile.create(join(folder, 'link')), failure('TARGET_FAILED', /folder does not exist/));
  });

  test('that points to itself is refused', async () => {
    symlinkSync('loop', join(folder, 'loop'));
    await assert.rejects(TargetFile.create(join(folder, 'loop')), failure('TARGET_FAILED', /ELOOP/));
  });
});

describe('a target that cannot be is refused before anything is fetched', () => {
  test('a directory, by its name, by a link, or by a slash at the end', async () => {
    mkdirSync(join(folder, 'directory'));
    symlinkSync('directory', join(folder, 'link'));
    for (const path of [join(folder, 'directory'), join(folder, 'link'), folder])
      await assert.rejects(TargetFile.create(path), failure('TARGET_FAILED', /it is a directory/));
    for (const path of [`${join(folder, 'new')}/`, `${join(folder, 'directory')}/`])
      await assert.rejects(TargetFile.create(path), failure('TARGET_FAILED', /slash, as that of a directory/));
    writeFileSync(join(folder, 'file'), 'old');
    await assert.rejects(TargetFile.create(`${join(folder, 'file')}/`), failure('TARGET_FAILED'));
  });

  test('no name at all', async () => {
    await assert.rejects(TargetFile.create(''), failure('TARGET_FAILED', /no name/));
  });

  test('a FIFO and a device, which are no files', { skip: process.platform === 'win32' }, async () => {
    execFileSync('mkfifo', [join(folder, 'fifo')]);
    await assert.rejects(TargetFile.create(join(folder, 'fifo')), failure('TARGET_FAILED', /it is a FIFO.*stream/));
    await assert.rejects(TargetFile.create('/dev/null'), failure('TARGET_FAILED', /it is a device/));
    assert.deepEqual(readdirSync(folder), ['fifo']);
  });

  test('a folder that does not exist, or is a file', async () => {
    writeFileSync(join(folder, 'file'), 'x');
    await assert.rejects(
      TargetFile.create(join(folder, 'no', 'target')),
      failure('TARGET_FAILED', /folder does not exist/),
    );
    await assert.rejects(TargetFile.create(join(folder, 'file', 'target')), failure('TARGET_FAILED', /ENOTDIR/));
  });

  test('a folder that may not be written to', { skip: unprivileged }, async () => {
    chmodSync(folder, 0o500);
    try {
      await assert.rejects(TargetFile.create(join(folder, 'target')), failure('TARGET_FAILED', /permission denied/));
    } finally {
      chmodSync(folder, 0o700);
    }
  });

  test('a name longer than the file system takes', async () => {
    await assert.rejects(TargetFile.create(join(folder, 'n'.repeat(300))), failure('TARGET_FAILED', /ENAMETOOLONG/));
    assert.deepEqual(readdirSync(folder), []);
  });
});

test('a target named from the folder that the process was in then is put there, wherever that goes', async () => {
  const before = process.cwd();
  process.chdir(folder);
  try {
    const target = await TargetFile.create('here');
    process.chdir(root);
    await target.write(Buffer.from('content'));
    await target.commit();
  } finally {
    process.chdir(before);
  }
  assert.deepEqual(readdirSync(folder), ['here']);
});

describe('a target that fails while it is written', () => {
  /** Runs a download of 4 MB into a folder in a process of its own, under a shell's conditions; what came of it. */
  function inShell(shell: string, prefix: readonly string[] = []): string {
    const script = `
      import { readdirSync } from 'node:fs';
      import { TargetFile } from ${JSON.stringify(join(projectRoot, 'build/src/objects/target-file.js'))};
      const target = await TargetFile.create(process.argv[1] + '/target');
      try {
        for (let n = 0; n < 64; n++) await target.write(Buffer.alloc(65_536, 1));
        await target.commit();
        console.log('written');
      } catch (error) {
        await target.discard();
        console.log(error.code, error.message, JSON.stringify(readdirSync(process.argv[1])));
      }
    `;
    const command = [...prefix, 'sh', '-c', `${shell} && exec "$0" --input-type=module -e "$1" "$2"`];
    const { stdout } = spawnSync(command[0] as string, [...command.slice(1), process.execPath, script, folder]);
    return String(stdout);
  }

  test('because the disk is full says so, and leaves nothing', (t) => {
    const output = inShell('mount -t tmpfs -o size=1m none "$2"', ['unshare', '--mount', '--map-root-user']);
    if (output === '') {
      t.skip('no namespace of its own to mount a small disk in');
      return;
    }
    assert.match(output, /^ERR_SEALPIPE_TARGET_FAILED .*the disk is full.* \[\]\n$/);
  });

  test('because of a limit on the length of files says so, and leaves nothing', {
    skip: process.platform === 'win32',
  }, () => {
    assert.match(inShell('ulimit -f 1000'), /^ERR_SEALPIPE_TARGET_FAILED .*EFBIG.* \[\]\n$/);
    assert.equal(inShell('true'), 'written\n');
  });

  test('because its folder is gone says so when it is committed', async () => {
    const inner = join(folder, 'inner');
    mkdirSync(inner);
    const target = await TargetFile.create(join(inner, 'target'));
    await target.write(Buffer.from('x'));
    rmSync(inner, { recursive: true });
    await assert.rejects(target.commit(), failure('TARGET_FAILED'));
    await target.discard();
  });

  test('because its temporary file is gone does not blame the folder', async () => {
    const target = await TargetFile.create(join(folder, 'target'));
    rmSync(target.temporaryPath);
    await assert.rejects(target.commit(), failure('TARGET_FAILED', /the temporary file beside it is gone/));
  });

  test('because a directory has taken its place says so, and leaves nothing of its own', async () => {
    const path = join(folder, 'target');
    const target = await TargetFile.create(path);
    mkdirSync(path);
    await assert.rejects(target.commit(), failure('TARGET_FAILED'));
    await target.discard();
    assert.deepEqual(readdirSync(folder), ['target']);
  });
});

test('a process that is killed leaves a temporary file that can be told, and what was there before', () => {
  const path = join(folder, 'target');
  writeFileSync(path, 'old');
  const module = join(projectRoot, 'build/src/objects/target-file.js');
  const script = `
    import { TargetFile } from ${JSON.stringify(module)};
    const target = await TargetFile.create(process.argv[1]);
    await target.write(Buffer.alloc(2_000_000));
    process.kill(process.pid, 'SIGKILL');
  `;
  const { signal } = spawnSync(process.execPath, ['--input-type=module', '-e', script, path]);
  assert.equal(signal, 'SIGKILL');
  assert.equal(readFileSync(path, 'utf8'), 'old');
  const left = readdirSync(folder).filter((name) => name !== 'target');
  assert.equal(left.length, 1);
  assert.match(left[0] as string, /^\.target\.[0-9a-f]{12}\.sealpipe$/);
});
