import type { ByteStream } from './byte-stream.ts';
import type { IntegerRun, RunDecoder } from './integer-run.ts';
import { Varint } from './varint.ts';

/**
 * Run length encoding of files before Hive 0.12 (and of columns whose encoding has no V2): a control byte below 128 is
 * a run of control + 3 values that step by a signed byte from a varint base, else 256 - control varints follow.
 */
export function integerV1(stream: ByteStream, options: { signed: boolean }): RunDecoder {
  const { signed } = options;
  const varint = new Varint();
  return (run) => {
    const control = stream.byte();
    if (control < 128) repeat(run, control + 3);
    else literals(run, 256 - control);
  };

  function repeat(run: IntegerRun, count: number): void {
    const step = (stream.byte() << 24) >> 24;
    varint.read(stream);
    if (signed) varint.unzigzag();
    run.count = count;
    const base = varint.safe;
    const last = base === undefined ? undefined : base + step * (count - 1);
    if (base === undefined || last === undefined || !Number.isSafeInteger(last)) {
      run.narrow = false;
      const start = varint.bigint;
      for (let index = 0; index < count; index++) run.setBigInt(index, start + BigInt(step * index));
      return;
    }
    run.narrow = base === (base | 0) && last === (last | 0);
    if (run.narrow) for (let index = 0; index < count; index++) run.low[index] = base + step * index;
    else for (let index = 0; index < count; index++) run.setNumber(index, base + step * index);
  }

  function literals(run: IntegerRun, count: number): void {
    run.count = count;
    const { low, high } = run;
    let narrow = true;
    for (let index = 0; index < count; index++) {
      varint.read(stream);
      if (signed) varint.unzigzag();
      low[index] = varint.low;
      high[index] = varint.high;
      narrow &&= varint.high === varint.low >> 31;
    }
    run.narrow = narrow;
  }
}
