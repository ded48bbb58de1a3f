// Command interop puts the official Amazon S3 Encryption Client for Go behind the JSON lines that interop/run.ts speaks:
// a job a line on standard input, an answer a line on standard output.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"os"
	"runtime"
	"runtime/debug"
)

const clientModule = "github.com/aws/amazon-s3-encryption-client-go/v4"

type answer struct {
	ID     int64     `json:"id"`
	OK     bool      `json:"ok"`
	SHA256 string    `json:"sha256,omitempty"`
	Length *int64    `json:"length,omitempty"`
	Error  *jobError `json:"error,omitempty"`
}

type jobError struct {
	Name    string   `json:"name"`
	Message string   `json:"message"`
	Causes  []string `json:"causes"`
}

func main() {
	if err := serve(context.Background()); err != nil {
		log.Fatal(err)
	}
}

func serve(ctx context.Context) error {
	clients, err := newClients(ctx)
	if err != nil {
		return err
	}
	out := json.NewEncoder(os.Stdout)
	if err := out.Encode(map[string]string{"client": "amazon-s3-encryption-client-go " + clientVersion(), "runtime": runtime.Version()}); err != nil {
		return err
	}
	in := bufio.NewScanner(os.Stdin)
	in.Buffer(nil, 1<<20)
	for in.Scan() {
		var j job
		if err := json.Unmarshal(in.Bytes(), &j); err != nil {
			return fmt.Errorf("a job that is not JSON: %w", err)
		}
		if err := out.Encode(run(ctx, clients, j)); err != nil {
			return err
		}
	}
	return in.Err()
}

func run(ctx context.Context, clients *clients, j job) (a answer) {
	// The client has panicked on damaged metadata before; an answer is worth more to the caller than a dead process.
	defer func() {
		if r := recover(); r != nil {
			a = answer{ID: j.ID, Error: &jobError{Name: "panic", Message: fmt.Sprint(r), Causes: []string{}}}
		}
	}()
	var err error
	a.ID = j.ID
	switch j.Op {
	case "write":
		err = clients.write(ctx, j)
	case "read":
		var length int64
		a.SHA256, length, err = clients.read(ctx, j)
		a.Length = &length
	default:
		err = fmt.Errorf("op %q", j.Op)
	}
	if err != nil {
		return answer{ID: j.ID, Error: describe(err)}
	}
	a.OK = true
	return a
}

func describe(err error) *jobError {
	causes := []string{}
	for cause := errors.Unwrap(err); cause != nil && len(causes) < 8; cause = errors.Unwrap(cause) {
		causes = append(causes, fmt.Sprintf("%T: %v", cause, cause))
	}
	return &jobError{Name: fmt.Sprintf("%T", err), Message: err.Error(), Causes: causes}
}

func clientVersion() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, dep := range info.Deps {
			if dep.Path == clientModule {
				return dep.Version
			}
		}
	}
	return "of unknown version"
}
