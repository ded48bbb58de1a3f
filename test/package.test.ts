import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { projectRoot } from './support/project.ts';

interface Manifest {
  readonly name: string;
  readonly version: string;
  readonly type: string;
  readonly engines: { readonly node: string };
  readonly bin: Record<string, string>;
  readonly exports: Record<string, string | { readonly types: string; readonly default: string }>;
  readonly dependencies: Record<string, string>;
  readonly devDependencies: Record<string, string>;
  readonly peerDependencies: Record<string, string>;
}

const manifest = JSON.parse(readFileSync(join(projectRoot, 'package.json'), 'utf8')) as Manifest;
const lock = JSON.parse(readFileSync(join(projectRoot, 'package-lock.json'), 'utf8')) as {
  packages: Record<string, { engines?: { node?: string }; dev?: boolean; optional?: boolean }>;
};
const inRoot = (path: string): string => join(projectRoot, path);

/** Tracked files; undefined where this is no checkout (an unpacked archive, no git). */
const tracked = ((): string[] | undefined => {
  try {
    const listed = execFileSync('git', ['ls-files', '-z'], { cwd: projectRoot, encoding: 'utf8', stdio: 'pipe' });
    return listed.split('\0').filter((path) => path !== '' && existsSync(inRoot(path)));
  } catch {
    return undefined;
  }
})();

describe('what npm would publish', () => {
  const [pack] = JSON.parse(
    execFileSync('npm', ['pack', '--dry-run', '--json', '--ignore-scripts'], {
      cwd: projectRoot,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    }),
  ) as [{ files: { path: string; mode: number }[]; size: number }];
  const paths = pack.files.map(({ path }) => path);

  test('is the built code, the documents and the data of the demonstration, and nothing else', () => {
    const allowed =
      /^(dist\/.+\.(js|js\.map|d\.ts)|docs\/[\w/-]+\.md|fixtures\/demo\/[^/]+|[A-Z]+(\.md)?|package\.json)$/;
    assert.deepEqual(
      paths.filter((path) => !allowed.test(path)),
      [],
    );
    for (const path of ['README.md', 'LICENSE', 'SECURITY.md', 'CHANGELOG.md', 'package.json', 'docs/errors.md'])
      assert.ok(paths.includes(path), `${path} is missing`);
    assert.ok(paths.some((path) => path.startsWith('fixtures/demo/')));
  });

  test('has a file for each source, and none whose source is gone', () => {
    const built = paths.filter((path) => /^dist\/.*(?<!\.d)\.(js)$/.test(path)).sort();
    assert.ok(built.length > 100);
    for (const path of built) assert.ok(existsSync(inRoot(path.replace('dist/', 'src/').replace(/js$/, 'ts'))), path);
  });

  test('holds no test and is small', () => {
    assert.deepEqual(
      paths.filter((path) => /\.test\.|(^|\/)(test|bench|interop|vectors)\//.test(path)),
      [],
    );
    assert.ok(pack.size < 5 * 1024 * 1024, `${pack.size} bytes`);
  });
});

describe('package.json', () => {
  for (const [path, target] of Object.entries(manifest.exports)) {
    const name = `${manifest.name}${path.slice(1)}`;
    test(`${name} resolves to files that are there, and imports`, async () => {
      const file = typeof target === 'string' ? target : target.default;
      const resolved = fileURLToPath(import.meta.resolve(name));
      assert.equal(resolved, inRoot(file));
      if (typeof target === 'string') return;
      assert.ok(existsSync(inRoot(target.types)), target.types);
      const module = (await import(pathToFileURL(resolved).href)) as Record<string, unknown>;
      assert.ok(Object.keys(module).length > 0);
      assert.equal('default' in module, false, 'a default export');
    });
  }

  test('exports nothing that it does not name', () => {
    assert.throws(() => import.meta.resolve('sealpipe/dist/errors.js'), { code: 'ERR_PACKAGE_PATH_NOT_EXPORTED' });
  });

  for (const [name, path] of Object.entries(manifest.bin)) {
    test(`the command ${name} runs as a program of its own`, () => {
      const file = inRoot(path);
      assert.match(readFileSync(file, 'utf8'), /^#!\/usr\/bin\/env node\n/);
      if (process.platform !== 'win32') assert.equal(statSync(file).mode & 0o111, 0o111);
      const version = execFileSync(process.execPath, [file, '--version'], { encoding: 'utf8' });
      assert.equal(version.trim(), manifest.version);
    });
  }

  test('dependencies run on every Node that it allows', () => {
    assert.equal(manifest.engines.node, '>=20.19');
    const tooNew = Object.entries(lock.packages).filter(
      ([path, { engines, dev }]) => path !== '' && dev !== true && !allowsFloor(engines?.node),
    );
    assert.deepEqual(
      tooNew.map(([path, { engines }]) => `${path} ${engines?.node}`),
      [],
    );
  });

  test('exact versions are asked for, and peers as ranges', () => {
    for (const group of [manifest.dependencies, manifest.devDependencies])
      for (const [name, version] of Object.entries(group)) assert.match(version, /^(npm:.+@)?\d+\.\d+\.\d+$/, name);
    for (const [name, range] of Object.entries(manifest.peerDependencies)) assert.match(range, /^>=\d/, name);
  });

  test('the sources import nothing that it does not depend on', {
    skip: tracked === undefined && 'no checkout',
  }, () => {
    const known = new Set([...Object.keys(manifest.dependencies), ...Object.keys(manifest.peerDependencies)]);
    const foreign = new Set<string>();
    for (const path of (tracked ?? []).filter((file) => file.startsWith('src/'))) {
      const source = readFileSync(inRoot(path), 'utf8');
      for (const [, from, dynamic] of source.matchAll(
        /^(?:import|export|\}).*? from '([^'.][^']*)';$|\bimport\('([^'.][^']*)'\)/gm,
      )) {
        const name = from ?? dynamic ?? '';
        const owner = name
          .split('/')
          .slice(0, name.startsWith('@') ? 2 : 1)
          .join('/');
        if (!name.startsWith('node:') && !known.has(owner)) foreign.add(`${path}: ${name}`);
      }
    }
    assert.deepEqual([...foreign], []);
  });
});

describe('the repository', { skip: tracked === undefined && 'no checkout' }, () => {
  const texts = (tracked ?? []).filter((path) => !/^fixtures\/|\.(gz|parquet|orc|bin|der)$/.test(path));

  /** Holds the patterns themselves. */
  const own = 'test/package.test.ts';

  /** Lines of tracked files that say this. */
  const linesWith = (pattern: RegExp, except: readonly string[] = []): string[] =>
    texts
      .filter((path) => !except.includes(path))
      .flatMap((path) =>
        readFileSync(inRoot(path), 'utf8')
          .split('\n')
          .flatMap((line, i) => (pattern.test(line) ? [`${path}:${i + 1}: ${line.trim().slice(0, 120)}`] : [])),
      );

  test('names no folder of anybody’s machine', () => {
    assert.deepEqual(linesWith(/(^|[\s'"`(=:])(\/work|\/root|\/home|\/Users|\/mnt|[A-Z]:\\Users)(\/|\\|$)/, [own]), []);
    assert.ok(!linesWith(/./).some((line) => line.includes(projectRoot)));
  });

  test('names no package registry: each machine has its own', () => {
    assert.deepEqual(
      linesWith(
        /registry\.(npmjs|yarnpkg|npmmirror)|https?:\/\/[^\s'"/]*(registry|artifactory|nexus|verdaccio)|"resolved":/,
        [own],
      ),
      [],
    );
  });

  test('keeps built files, dependencies and secrets out', () => {
    assert.deepEqual(
      (tracked ?? []).filter((path) =>
        /^(dist|build|node_modules|coverage)\/|(^|\/)(\.env|\.npmrc|\.DS_Store)$/.test(path),
      ),
      [],
    );
  });
});

/** Whether a range of `engines` allows Node 20.19.0: the alternatives of it, each a list of comparisons. */
function allowsFloor(range = '*'): boolean {
  const floor = [20, 19, 0];
  return range.split('||').some((alternative) =>
    alternative
      .trim()
      .split(/\s+(?=[<>=^~\d])/)
      .every((comparison) => {
        const [, operator = '', digits = ''] = /^([<>=^~]*)\s*v?([\d.x*]*)$/.exec(comparison.trim()) ?? [];
        const version = digits.split('.').map((digit) => Number.parseInt(digit, 10) || 0);
        const order = floor.map((part, i) => Math.sign(part - (version[i] ?? 0))).find((sign) => sign !== 0) ?? 0;
        if (digits === '' || digits === '*') return true;
        if (operator === '>=') return order >= 0;
        if (operator === '>') return order > 0;
        if (operator === '<') return order < 0;
        if (operator === '<=') return order <= 0;
        // ^, ~ and a bare number: the same major version, from there on.
        return version[0] === floor[0] && order >= 0;
      }),
  );
}
