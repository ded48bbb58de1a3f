package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"

	s3ec "github.com/aws/amazon-s3-encryption-client-go/v4/client"
	"github.com/aws/amazon-s3-encryption-client-go/v4/commitment"
	"github.com/aws/amazon-s3-encryption-client-go/v4/materials"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// errUnsupported is what this client cannot do at all, as opposed to what it fails at.
var errUnsupported = errors.New("not offered by the S3 Encryption Client for Go")

// clients holds the SDK clients. Endpoints, region and credentials come from the environment variables that the SDK reads
// by itself: the encryption client fetches instruction files with a client of its own that is configured by nothing else.
type clients struct {
	s3  *s3.Client
	kms *kms.Client
}

func newClients(ctx context.Context) (*clients, error) {
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return nil, err
	}
	return &clients{
		s3:  s3.NewFromConfig(cfg, func(o *s3.Options) { o.UsePathStyle = true }),
		kms: kms.NewFromConfig(cfg),
	}, nil
}

func (c *clients) encryption(j job) (*s3ec.S3EncryptionClientV4, error) {
	if j.Keyring.Type != "kms" {
		return nil, fmt.Errorf("keyring type %q: %w", j.Keyring.Type, errUnsupported)
	}
	if j.Delayed {
		return nil, fmt.Errorf("delayed authentication: %w", errUnsupported)
	}
	policy, err := policyOf(j)
	if err != nil {
		return nil, err
	}
	cmm, err := materials.NewCryptographicMaterialsManager(materials.NewKmsKeyring(c.kms, j.Keyring.KeyID))
	if err != nil {
		return nil, err
	}
	return s3ec.New(c.s3, cmm, func(o *s3ec.EncryptionClientOptions) { o.CommitmentPolicy = policy })
}

func policyOf(j job) (commitment.CommitmentPolicy, error) {
	switch j.CommitmentPolicy {
	case "":
		if j.Format == "v2" {
			return commitment.FORBID_ENCRYPT_ALLOW_DECRYPT, nil
		}
		return commitment.REQUIRE_ENCRYPT_REQUIRE_DECRYPT, nil
	case "FORBID_ENCRYPT_ALLOW_DECRYPT":
		return commitment.FORBID_ENCRYPT_ALLOW_DECRYPT, nil
	case "REQUIRE_ENCRYPT_ALLOW_DECRYPT":
		return commitment.REQUIRE_ENCRYPT_ALLOW_DECRYPT, nil
	case "REQUIRE_ENCRYPT_REQUIRE_DECRYPT":
		return commitment.REQUIRE_ENCRYPT_REQUIRE_DECRYPT, nil
	}
	return commitment.REQUIRE_ENCRYPT_REQUIRE_DECRYPT, fmt.Errorf("commitment policy %q", j.CommitmentPolicy)
}

func withContext(ctx context.Context, j job) context.Context {
	if j.EncryptionContext == nil {
		return ctx
	}
	return context.WithValue(ctx, s3ec.EncryptionContext, j.EncryptionContext) //nolint:staticcheck // the client wants a string key
}

func (c *clients) write(ctx context.Context, j job) error {
	if j.Storage == "instruction-file" {
		return fmt.Errorf("writing an instruction file: %w", errUnsupported)
	}
	if j.Upload != nil && j.Upload.Kind != "put" {
		return fmt.Errorf("upload kind %q: %w", j.Upload.Kind, errUnsupported)
	}
	client, err := c.encryption(j)
	if err != nil {
		return err
	}
	file, err := os.Open(j.File)
	if err != nil {
		return err
	}
	defer file.Close()
	_, err = client.PutObject(withContext(ctx, j), &s3.PutObjectInput{Bucket: &j.Bucket, Key: &j.Key, Body: file})
	return err
}

func (c *clients) read(ctx context.Context, j job) (string, int64, error) {
	client, err := c.encryption(j)
	if err != nil {
		return "", 0, err
	}
	object, err := client.GetObject(withContext(ctx, j), &s3.GetObjectInput{Bucket: &j.Bucket, Key: &j.Key})
	if err != nil {
		return "", 0, err
	}
	defer object.Body.Close()
	digest := sha256.New()
	length, err := io.Copy(digest, object.Body)
	if err != nil {
		return "", 0, err
	}
	return hex.EncodeToString(digest.Sum(nil)), length, nil
}
