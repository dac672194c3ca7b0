package vectors

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"testing"
)

const dir = "../../../contract/vectors"

type file struct {
	Functions []struct {
		Function string
		Cases    []struct {
			Name string
			In   json.RawMessage
			Out  any
		}
	}
}

func TestVectors(t *testing.T) {
	paths, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no vectors in %s: %v", dir, err)
	}
	passed, unsupported := 0, 0
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var f file
		if err := json.Unmarshal(text, &f); err != nil {
			t.Fatal(err)
		}
		for _, function := range f.Functions {
			for _, c := range function.Cases {
				out, err := Eval(function.Function, c.In)
				if why, ok := err.(Unsupported); ok {
					unsupported++
					t.Logf("%s, %s: not supported: %s", function.Function, c.Name, why)
					continue
				}
				if err != nil {
					t.Errorf("%s, %s: %v", function.Function, c.Name, err)
					continue
				}
				if !right(c.Out, out) {
					got, _ := json.Marshal(out)
					want, _ := json.Marshal(c.Out)
					t.Errorf("%s, %s:\n got %s\nwant %s", function.Function, c.Name, got, want)
					continue
				}
				passed++
			}
		}
	}
	t.Logf("%d vectors passed, %d not supported", passed, unsupported)
}

// right compares as JSON values; a line may be any one of those that are listed.
func right(want, out any) bool {
	text, err := json.Marshal(out)
	if err != nil {
		return false
	}
	var got any
	if err := json.Unmarshal(text, &got); err != nil {
		return false
	}
	expected, _ := want.(map[string]any)
	if lines, ok := expected["lines"].([]any); ok {
		given, _ := got.(map[string]any)
		for _, line := range lines {
			if line == given["line"] {
				return true
			}
		}
		return false
	}
	return reflect.DeepEqual(want, got)
}
