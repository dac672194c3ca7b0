package tidegate

import (
	"encoding/json"
	"reflect"

	"github.com/tidegate/tidegate/sdk/go/internal/rules"
)

// mapLike says whether props can be an object: nothing, a map, a struct, or a type with a form of its
// own (R54). What that form is shows when it is written.
func mapLike(props any) bool {
	switch props.(type) {
	case nil, map[string]any, json.Marshaler:
		return true
	}
	t := reflect.TypeOf(props)
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t.Kind() == reflect.Map || t.Kind() == reflect.Struct
}

const copyDepthMax = 64

// copyProps makes a copy that a hook may change. Maps and lists are copied, everything else that is
// not a plain map is copied through its JSON form.
func copyProps(props any) (out map[string]any, err error) {
	if members, ok := props.(map[string]any); ok {
		copied, err := copyValue(members, 0)
		if err != nil {
			return nil, err
		}
		return copied.(map[string]any), nil
	}
	if props == nil {
		return map[string]any{}, nil
	}
	text, err := rules.AppendValue(nil, props, 1, 1<<20)
	if err != nil {
		return nil, err
	}
	read, err := rules.Decode(text)
	if err != nil {
		return nil, err
	}
	if read == nil {
		return map[string]any{}, nil
	}
	members, ok := read.(map[string]any)
	if !ok {
		return nil, rules.ErrInvalid
	}
	return members, nil
}

func copyValue(value any, depth int) (any, error) {
	if depth > copyDepthMax {
		return nil, rules.ErrInvalid
	}
	switch v := value.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for name, item := range v {
			copied, err := copyValue(item, depth+1)
			if err != nil {
				return nil, err
			}
			out[name] = copied
		}
		return out, nil
	case []any:
		out := make([]any, len(v))
		for i, item := range v {
			copied, err := copyValue(item, depth+1)
			if err != nil {
				return nil, err
			}
			out[i] = copied
		}
		return out, nil
	}
	return value, nil
}
