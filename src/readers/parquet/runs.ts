/**
 * Looks at the run lengths in an expanded page. hyparquet writes as many values as a run claims, and one of five bytes can
 * claim a billion.
 */
import { formatInvalid } from './format-error.ts';

/** What of a page is needed to find its runs. */
export interface RunPlan {
  readonly path: string;
  /** File offset of the page, for errors. */
  readonly at: number;
  readonly valueCount: number;
  readonly maxRepetition: number;
  readonly maxDefinition: number;
  /** How values are stored: indices into a dictionary, booleans in runs, or without runs. */
  readonly values: 'indices' | 'booleans' | 'other';
}

/**
 * Checks a page whose levels are expanded with its values (version 1). Returns where its values begin, and
 * where its definition levels do, if it has any.
 *
 * @throws SealpipeError FORMAT_INVALID
 */
export function checkRuns(page: Uint8Array, plan: RunPlan): { position: number; definition: number | undefined } {
  let position = 0;
  let definition: number | undefined;
  for (const most of [plan.maxRepetition, plan.maxDefinition]) {
    if (most === 0) continue;
    definition = position + 4;
    position = prefixed(page, { position, width: bitWidth(most), plan });
  }
  checkValues(page, { position, plan });
  return { position, definition: plan.maxDefinition === 0 ? undefined : definition };
}

/**
 * Checks the runs of levels that have no length before them (version 2). `levels` is the page from where they begin.
 *
 * @throws SealpipeError FORMAT_INVALID
 */
export function checkLevels(levels: Uint8Array, { most, plan }: { most: number; plan: RunPlan }): void {
  if (most > 0) walk(levels, { position: 0, width: bitWidth(most), plan });
}

/** Checks the runs of values that begin at `position`. @throws SealpipeError FORMAT_INVALID */
export function checkValues(page: Uint8Array, { position, plan }: { position: number; plan: RunPlan }): void {
  if (plan.values === 'booleans') prefixed(page, { position, width: 1, plan });
  if (plan.values !== 'indices' || position >= page.length) return;
  walk(page, { position: position + 1, width: page[position]!, plan });
}

/** Runs with their length in bytes before them. @returns where they end */
function prefixed(
  page: Uint8Array,
  { position, width, plan }: { position: number; width: number; plan: RunPlan },
): number {
  if (position + 4 > page.length) {
    // Empty pages have not even that.
    if (plan.valueCount === 0 || plan.values === 'booleans') return position;
    throw formatInvalid(`a page of ${plan.path} ends before its levels`, plan.at);
  }
  const length = new DataView(page.buffer, page.byteOffset + position, 4).getUint32(0, true);
  const end = position + 4 + length;
  if (end > page.length) throw formatInvalid(`levels of ${plan.path} claim ${length} bytes past their page`, plan.at);
  walk(page, { position: position + 4, width, plan });
  return end;
}

/** How many values of a page are not null, by its definition levels at `position`, whose runs were checked before. */
export function presentValues(page: Uint8Array, { position, plan }: { position: number; plan: RunPlan }): number {
  const { maxDefinition: most, valueCount } = plan;
  const width = bitWidth(most);
  let [at, seen, present] = [position, 0, 0];
  while (seen < valueCount && at < page.length) {
    let header = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = page[at++] ?? 0;
      header += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) break;
    }
    if (header % 2 === 0) {
      const count = Math.min(header / 2, valueCount - seen);
      // Levels have a byte, but for schemas of more than 255 of them.
      const level = page[at]! + (width > 8 ? page[at + 1]! * 256 : 0);
      if (level === most) present += count;
      seen += count;
      at += (width + 7) >> 3;
    } else {
      const count = (header - 1) * 4;
      for (let index = 0; index < count && seen < valueCount; index++, seen++) {
        let level = 0;
        for (let bit = 0; bit < width; bit++) {
          const place = index * width + bit;
          level |= ((page[at + (place >>> 3)]! >>> (place & 7)) & 1) << bit;
        }
        if (level === most) present++;
      }
      at += (count / 8) * width;
    }
  }
  return present;
}

/** More than a page has values may be claimed by this many: writers fill up groups of eight, and some a block of them. */
const surplus = 4096;

/** Goes from run to run as hyparquet does, to wherever that leads. */
function walk(bytes: Uint8Array, { position, width, plan }: { position: number; width: number; plan: RunPlan }): void {
  let at = position;
  let seen = 0;
  while (seen < plan.valueCount && at < bytes.length) {
    let header = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = bytes[at++] ?? 0;
      header += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) break;
      if (shift === 28) throw formatInvalid(`a page of ${plan.path} has a run of more than 2^31 values`, plan.at);
    }
    const count = Math.floor(header / 2) * (header % 2 === 1 ? 8 : 1);
    seen += count;
    if (seen > plan.valueCount + surplus) {
      throw formatInvalid(`a page of ${plan.path} has runs of ${seen} values, it has ${plan.valueCount}`, plan.at);
    }
    at += header % 2 === 1 ? (count / 8) * width : (width + 7) >> 3;
  }
}

function bitWidth(most: number): number {
  return 32 - Math.clz32(most);
}
