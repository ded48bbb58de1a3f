package main

// job is one line of input. interop/peer.ts is where the shape is documented; what this client has no use for is left out.
type job struct {
	ID                int64             `json:"id"`
	Op                string            `json:"op"`
	Bucket            string            `json:"bucket"`
	Key               string            `json:"key"`
	File              string            `json:"file"`
	Keyring           keyring           `json:"keyring"`
	Format            string            `json:"format"`
	Storage           string            `json:"storage"`
	Upload            *upload           `json:"upload"`
	EncryptionContext map[string]string `json:"encryptionContext"`
	CommitmentPolicy  string            `json:"commitmentPolicy"`
	Delayed           bool              `json:"delayedAuthentication"`
}

type keyring struct {
	Type  string `json:"type"`
	KeyID string `json:"keyId"`
}

type upload struct {
	Kind string `json:"kind"`
}
