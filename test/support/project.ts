import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** The project's root, from the built tests as from the sources. */
export const projectRoot: string = (() => {
  let folder = import.meta.dirname;
  while (!existsSync(join(folder, 'package.json'))) folder = dirname(folder);
  return folder;
})();

export function fixture(...path: string[]): string {
  return join(projectRoot, 'fixtures', ...path);
}

/** The folder with the full conformance sets, where the environment names it. */
export const sharedFolder: string | undefined = process.env.SEALPIPE_SHARED || undefined;

/** Reason to skip what needs the full sets, or false. */
export const withoutShared: string | false =
  sharedFolder === undefined && 'SEALPIPE_SHARED does not name the full conformance sets';
