"""The official Amazon S3 Encryption Client for Python behind the JSON lines that interop/run.ts speaks.

A job a line on standard input, an answer a line on standard output; ends with its input. Endpoints, region and credentials
come from the environment variables that the SDK reads by itself (AWS_ENDPOINT_URL_S3 and its like).
"""

import hashlib
import json
import os
import platform
import sys
from importlib.metadata import version

import boto3
from botocore.config import Config
from s3_encryption import S3EncryptionClient, S3EncryptionClientConfig
from s3_encryption.materials.kms_keyring import KmsKeyring
from s3_encryption.materials.materials import AlgorithmSuite, CommitmentPolicy

PACKAGE = "amazon-s3-encryption-client-python"


class Unsupported(Exception):
    """What the client cannot do at all, as opposed to what it fails at."""


class Clients:
    """Encryption clients as a job wants them."""

    def __init__(self):
        self._session = boto3.session.Session()
        self._kms = self._session.client("kms")

    def of(self, job):
        keyring = job["keyring"]
        if keyring["type"] != "kms":
            raise Unsupported(f"keyring type {keyring['type']}")
        v2 = job.get("format") == "v2"
        by_format = "FORBID_ENCRYPT_ALLOW_DECRYPT" if v2 else "REQUIRE_ENCRYPT_REQUIRE_DECRYPT"
        config = S3EncryptionClientConfig(
            keyring=KmsKeyring(kms_client=self._kms, kms_key_id=keyring["keyId"]),
            encryption_algorithm=(
                AlgorithmSuite.ALG_AES_256_GCM_IV12_TAG16_NO_KDF
                if v2
                else AlgorithmSuite.ALG_AES_256_GCM_HKDF_SHA512_COMMIT_KEY
            ),
            commitment_policy=CommitmentPolicy[job.get("commitmentPolicy") or by_format],
            enable_delayed_authentication=job.get("delayedAuthentication", False),
        )
        # The encryption client installs its handlers in the client that it wraps, so each needs one of its own.
        s3 = self._session.client("s3", config=Config(s3={"addressing_style": "path"}))
        return S3EncryptionClient(s3, config)


def request_of(job):
    request = {"Bucket": job["bucket"], "Key": job["key"]}
    if job.get("encryptionContext") is not None:
        request["EncryptionContext"] = job["encryptionContext"]
    return request


def write(clients, job):
    if job.get("storage") == "instruction-file":
        raise Unsupported("writing an instruction file")
    client = clients.of(job)
    request = request_of(job)
    upload = job.get("upload") or {"kind": "put"}
    with open(job["file"], "rb") as file:
        if upload["kind"] == "put":
            client.put_object(Body=file.read(), **request)
        elif upload["kind"] == "multipart":
            bucket, key = request.pop("Bucket"), request.pop("Key")
            client.upload_fileobj(file, bucket, key, multipart_chunksize=upload["partSize"], **request)
        elif upload["kind"] == "parts":
            write_parts(client, request, file, upload["partSizes"])
        else:
            raise Unsupported(f"upload kind {upload['kind']}")
    return {}


def write_parts(client, request, file, part_sizes):
    upload_id = client.create_multipart_upload(**request)["UploadId"]
    target = {"Bucket": request["Bucket"], "Key": request["Key"], "UploadId": upload_id}
    parts = []
    for number, size in enumerate(part_sizes, start=1):
        body = file.read(size)
        last = number == len(part_sizes)
        etag = client.upload_part(PartNumber=number, Body=body, IsLastPart=last, **target)["ETag"]
        parts.append({"PartNumber": number, "ETag": etag})
    client.complete_multipart_upload(MultipartUpload={"Parts": parts}, **target)


def read(clients, job):
    digest = hashlib.sha256()
    length = 0
    body = clients.of(job).get_object(**request_of(job))["Body"]
    while chunk := body.read(256 * 1024):
        digest.update(chunk)
        length += len(chunk)
    return {"sha256": digest.hexdigest(), "length": length}


def describe(error):
    causes = []
    cause = error.__cause__ or error.__context__
    while cause is not None and len(causes) < 8:
        causes.append(f"{type(cause).__name__}: {cause}")
        cause = cause.__cause__ or cause.__context__
    return {"name": type(error).__name__, "message": str(error), "causes": causes}


def answer(clients, job):
    operations = {"write": write, "read": read}
    try:
        return {"id": job["id"], "ok": True, **operations[job["op"]](clients, job)}
    except Exception as error:
        return {"id": job["id"], "ok": False, "error": describe(error)}


def main():
    # Whatever a library prints must not end up between the answers.
    out = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8", buffering=1)
    sys.stdout = sys.stderr
    clients = Clients()
    ready = {"client": f"{PACKAGE} {version(PACKAGE)}", "runtime": f"Python {platform.python_version()}"}
    print(json.dumps(ready), file=out)
    for line in sys.stdin.buffer:
        print(json.dumps(answer(clients, json.loads(line))), file=out)


if __name__ == "__main__":
    main()
