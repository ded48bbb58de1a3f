/** The operations on the rotation of keys. */
import { randomBytes } from 'node:crypto';
import { changeKey, findForManagement, refusePending } from './key-management.ts';
import type { KmsKey } from './keys.ts';
import { KmsError } from './kms-error.ts';
import { type KmsCall, type KmsOperation, page, seconds } from './request.ts';

const day = 24 * 3600 * 1000; // ms

/** Adds key material; the one before keeps decrypting what it encrypted. */
function rotate(call: KmsCall, key: KmsKey): void {
  const material = { key: randomBytes(32).toString('base64'), created: Date.now(), rotation: 'ON_DEMAND' } as const;
  for (const related of call.keys.related(key)) related.materials.push(material);
}

function checkRotatable(call: KmsCall, key: KmsKey): void {
  if (key.spec !== 'SYMMETRIC_DEFAULT')
    throw new KmsError('UnsupportedOperationException', 'Only symmetric keys can be rotated.');
  refusePending(call, key);
}

const enableKeyRotation: KmsOperation = (call) => {
  const days = call.parameters.integer('RotationPeriodInDays', 90, 2560) ?? 365;
  return changeKey(call, 'EnableKeyRotation', (key) => {
    checkRotatable(call, key);
    key.rotationPeriodDays = days;
  });
};

const disableKeyRotation: KmsOperation = (call) =>
  changeKey(call, 'DisableKeyRotation', (key) => {
    checkRotatable(call, key);
    key.rotationPeriodDays = undefined;
  });

const getKeyRotationStatus: KmsOperation = (call) => {
  const key = findForManagement(call, 'GetKeyRotationStatus');
  const period = key.rotationPeriodDays;
  return {
    KeyId: call.keys.arn(key),
    KeyRotationEnabled: period !== undefined,
    ...(period === undefined
      ? {}
      : {
          RotationPeriodInDays: period,
          NextRotationDate: seconds((key.materials.at(-1)?.created ?? key.created) + period * day),
        }),
  };
};

const rotateKeyOnDemand: KmsOperation = (call) => {
  const key = findForManagement(call, 'RotateKeyOnDemand');
  checkRotatable(call, key);
  if (!key.enabled) throw new KmsError('DisabledException', `${call.keys.arn(key)} is disabled.`);
  rotate(call, key);
  call.keys.save();
  return { KeyId: call.keys.arn(key) };
};

const listKeyRotations: KmsOperation = (call) => {
  const key = findForManagement(call, 'ListKeyRotations');
  const { entries, rest } = page(call, key.materials.slice(1), 100);
  return {
    Rotations: entries.map((material) => ({
      KeyId: call.keys.arn(key),
      RotationDate: seconds(material.created),
      RotationType: material.rotation ?? 'ON_DEMAND',
    })),
    ...rest,
  };
};

export const rotationOperations: Readonly<Record<string, KmsOperation>> = {
  EnableKeyRotation: enableKeyRotation,
  DisableKeyRotation: disableKeyRotation,
  GetKeyRotationStatus: getKeyRotationStatus,
  RotateKeyOnDemand: rotateKeyOnDemand,
  ListKeyRotations: listKeyRotations,
};
