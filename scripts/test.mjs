// Builds dist/ and the tests, and runs them with node:test. Files or folders below test/ can be given to run a part:
//   npm test                      everything that needs Node and npm alone
//   npm test -- format crypto     the folders test/format and test/crypto
// SEALPIPE_TEST_NODE names another node binary to run the same built tests with (as .ci/run does for 22 and 24).
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, readdirSync, rmSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';

const root = join(import.meta.dirname, '..');
const args = process.argv.slice(2);
const built = args.includes('--no-build');
const parts = args.filter((name) => !name.startsWith('--'));

if (!built) {
  execFileSync(process.execPath, [join(root, 'scripts/build.mjs')], { stdio: 'inherit' });
  const tsc = createRequire(import.meta.url).resolve('typescript/bin/tsc');
  rmSync(join(root, 'build'), { recursive: true, force: true });
  execFileSync(process.execPath, [tsc, '-p', join(root, 'tsconfig.test.json')], { stdio: 'inherit' });
}

function testFiles(path) {
  if (!existsSync(path)) return existsSync(`${path}.test.js`) ? [`${path}.test.js`] : [];
  if (statSync(path).isFile()) return [path];
  return readdirSync(path, { withFileTypes: true }).flatMap((entry) =>
    entry.isDirectory()
      ? testFiles(join(path, entry.name))
      : entry.name.endsWith('.test.js')
        ? [join(path, entry.name)]
        : [],
  );
}

const base = join(root, 'build/test');
const files = (parts.length === 0 ? [''] : parts).flatMap((part) => {
  const found = testFiles(join(base, part.replace(/^test\//, '').replace(/\.ts$/, '.js')));
  if (found.length === 0) throw new Error(`no test files under test/${part}`);
  return found;
});
const node = process.env.SEALPIPE_TEST_NODE ?? process.execPath;
// Node's own default leaves a core free, which on two cores is half of them.
const concurrency = `--test-concurrency=${Math.max(2, availableParallelism())}`;
const options = [
  '--test',
  concurrency,
  '--test-reporter=spec',
  // Several times what the longest file takes: one that hangs is named, and the others still run.
  '--test-timeout=900000',
  '--enable-source-maps',
  '--no-warnings=ExperimentalWarning',
];
const { status, signal } = spawnSync(node, [...options, ...files.sort()], { stdio: 'inherit', cwd: root });
if (signal) throw new Error(`the test run was ended by ${signal}`);
process.exit(status ?? 1);
