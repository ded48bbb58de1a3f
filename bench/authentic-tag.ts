import type { ContentKey } from '../src/crypto/content-key.ts';
import type { FieldElement } from '../src/crypto/field.ts';
import { MessageSecrets, SegmentHash, TagFold } from '../src/crypto/segment.ts';
import { type RepeatedContent, repeatedLength } from './repeated-content.ts';

/**
 * The tag that makes any ciphertext an authentic one under a key. Where the ciphertext is one block over and over, its hash is
 * taken once and folded as often: an object of any size is made in milliseconds, and served from a megabyte.
 */
export function authenticTag(contentKey: ContentKey, ciphertext: RepeatedContent): Buffer {
  const secrets = new MessageSecrets(contentKey);
  const fold = new TagFold(contentKey, secrets);
  let whole: FieldElement | undefined;
  for (const chunk of ciphertext.chunks(repeatedLength)) {
    if (chunk.length === repeatedLength) {
      whole ??= hashOf(contentKey, secrets, chunk);
      fold.append(whole, chunk.length);
    } else fold.append(hashOf(contentKey, secrets, chunk), chunk.length);
  }
  return Buffer.from(fold.tag());
}

function hashOf(contentKey: ContentKey, secrets: MessageSecrets, chunk: Buffer): FieldElement {
  const hash = new SegmentHash(contentKey, secrets);
  hash.update(chunk);
  return hash.final();
}
