import { execFile, execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  accessSync,
  constants,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
} from 'node:fs';
import { basename, delimiter, join } from 'node:path';
import { promisify, stripVTControlCharacters } from 'node:util';
import type { OfficialPeerName } from './peer.ts';

/** The compiled runner lies in build/interop; the programs' sources and the cache belong to the project. */
const root = join(import.meta.dirname, '../..');
/** Where tools of the npm world keep what they can make again: ignored by git, linters and the compiler. */
const cache = join(root, 'node_modules/.cache/sealpipe-interop');

/** A program that is ready to run. */
export interface Launch {
  readonly command: string;
  readonly args: readonly string[];
}

interface Toolchain {
  readonly language: string;
  /** What must be on the PATH. */
  readonly programs: readonly string[];
  /** What the product depends on beside the tool's name, for the name of its folder in the cache. */
  inputs(folder: string): (string | Buffer)[];
  build(folder: string, product: string): Promise<void>;
  launch(folder: string, product: string): Launch;
}

const toolchains: Readonly<Record<OfficialPeerName, Toolchain>> = {
  java: {
    language: 'Java',
    programs: ['java', 'javac', 'mvn'],
    inputs: (folder) => contents(folder, /\.(java|xml)$/),
    async build(folder, product) {
      const goals = ['compile', 'dependency:copy-dependencies'];
      await run('mvn', ['-q', '-B', '-Dstyle.color=never', `-Dinterop.target=${product}`, ...goals], folder);
    },
    launch: (_folder, product) => ({
      command: 'java',
      args: [
        // The client encodes instruction files in the platform's charset, which below Java 18 follows the locale.
        '-Dfile.encoding=UTF-8',
        '-XX:+UseSerialGC',
        '-Xmx1g',
        '-cp',
        [join(product, 'classes'), join(product, 'lib/*')].join(delimiter),
        'sealpipe.interop.Main',
      ],
    }),
  },
  go: {
    language: 'Go',
    programs: ['go'],
    inputs: (folder) => [...contents(folder, /(\.go|go\.mod|go\.sum)$/), process.platform, process.arch],
    async build(folder, product) {
      // Stamping asks git, which may refuse a checkout of another owner.
      await run('go', ['build', '-buildvcs=false', '-o', join(product, 'peer'), '.'], folder);
    },
    launch: (_folder, product) => ({ command: join(product, 'peer'), args: [] }),
  },
  python: {
    language: 'Python',
    programs: ['python3'],
    inputs: (folder) => [
      ...contents(folder, /requirements\.txt$/),
      execFileSync('python3', ['-c', 'import sys; print(sys.version, sys.executable)']),
    ],
    async build(folder, product) {
      await run('python3', ['-m', 'venv', product], folder);
      const options = ['--quiet', '--disable-pip-version-check', '--require-hashes', '--only-binary', ':all:'];
      await run(join(product, 'bin/python'), ['-m', 'pip', 'install', ...options, '-r', 'requirements.txt'], folder);
    },
    launch: (folder, product) => ({ command: join(product, 'bin/python'), args: [join(folder, 'peer.py')] }),
  },
};

/** The programs of this peer's toolchain that are not on the PATH. None: it can be built. */
export function missingPrograms(name: OfficialPeerName): string[] {
  return toolchains[name].programs.filter((program) => !onPath(program));
}

/** One line that says what is missing and what follows from it. */
export function missingToolchainLine(name: OfficialPeerName): string {
  const { language, programs } = toolchains[name];
  const missing = missingPrograms(name);
  const found = missing.length < programs.length;
  const list = (found ? missing : programs).map((program) => `\`${program}\``).join(', ');
  return (
    `interop: ${language} is not ${found ? 'complete' : 'installed'} (${found ? 'no' : 'looked for'} ${list}): ` +
    `${language} cases are skipped; set SEALPIPE_INTEROP_REQUIRE=java,go,python to make this an error`
  );
}

/** A peer's program could not be built. The message ends with the tool's own last words. */
export class BuildError extends Error {
  constructor(language: string, cause: unknown) {
    super(`building the ${language} program failed:\n${lastWords(cause)}`, { cause });
    this.name = 'BuildError';
  }
}

/**
 * Builds a peer's program, unless that was done before from the same sources.
 * @throws BuildError
 */
export async function buildProgram(name: OfficialPeerName): Promise<Launch> {
  const toolchain = toolchains[name];
  const folder = join(root, 'interop', name);
  const hash = createHash('sha256');
  for (const input of toolchain.inputs(folder)) hash.update(input).update('\0');
  const product = join(cache, `${name}-${hash.digest('hex').slice(0, 16)}`);
  if (!existsSync(product)) await makeProduct(toolchain, { name, folder, product });
  return toolchain.launch(folder, product);
}

async function makeProduct(
  toolchain: Toolchain,
  { name, folder, product }: { name: OfficialPeerName; folder: string; product: string },
): Promise<void> {
  console.error(`interop: building the ${toolchain.language} program, which is kept`);
  mkdirSync(cache, { recursive: true });
  const building = mkdtempSync(join(cache, `building-${name}-`));
  try {
    await toolchain.build(folder, building);
    const outdated = readdirSync(cache).filter((entry) => entry.startsWith(`${name}-`) && entry !== basename(product));
    for (const entry of outdated) rmSync(join(cache, entry), { recursive: true, force: true });
    renameSync(building, product);
  } catch (error) {
    // Another process may have been faster; both made the same.
    if (!existsSync(product)) throw new BuildError(toolchain.language, error);
  } finally {
    rmSync(building, { recursive: true, force: true });
  }
}

function contents(folder: string, pattern: RegExp): (string | Buffer)[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && pattern.test(entry.name))
    .map((entry) => join(entry.parentPath, entry.name))
    .filter((path) => !path.startsWith(join(folder, 'target')))
    .sort()
    .flatMap((path) => [path.slice(folder.length), readFileSync(path)]);
}

async function run(command: string, args: readonly string[], cwd: string): Promise<void> {
  await promisify(execFile)(command, args, { cwd, maxBuffer: 64 * 1024 * 1024 });
}

function lastWords(error: unknown): string {
  const { stdout = '', stderr = '', message = '' } = error as { stdout?: string; stderr?: string; message?: string };
  const lines = stripVTControlCharacters(`${stdout}\n${stderr}`).trim().split('\n').slice(-20);
  return lines.join('') === '' ? message : lines.join('\n');
}

function onPath(program: string): boolean {
  return (process.env['PATH'] ?? '').split(delimiter).some((folder) => {
    try {
      accessSync(join(folder, program), constants.X_OK);
      return folder !== '';
    } catch {
      return false;
    }
  });
}
