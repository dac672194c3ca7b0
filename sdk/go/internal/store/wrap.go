package store

import (
	"fmt"
	"hash/crc32"
)

// wrap puts a checksum in front of a small file, unwrap checks it.
func wrap(value []byte) []byte {
	return append([]byte(fmt.Sprintf("%08x ", crc32.Checksum(value, table))), value...)
}

func unwrap(text []byte) ([]byte, bool) {
	if len(text) < 9 || fmt.Sprintf("%08x", crc32.Checksum(text[9:], table)) != string(text[:8]) {
		return nil, false
	}
	return text[9:], true
}
