// Package store keeps queues in a folder (R110-R117). A queue is a folder of its own with a claim and
// one log; the claim is a lock of the operating system, so it ends with the process.
package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"syscall"
)

// What can be wrong with a store.
var (
	ErrNewer       = errors.New("the store has a newer layout")
	ErrCorrupt     = errors.New("the store cannot be read")
	ErrLost        = errors.New("the claim on the queue was lost")
	ErrFull        = errors.New("the store is full")
	errUnsupported = errors.New("this platform has no file locks")
)

// Env is what the store takes from its platform. Point is nil in production.
type Env struct {
	Point func(string)
	Fault func() error
}

func (e Env) point(name string) {
	if e.Point != nil {
		e.Point(name)
	}
}

func (e Env) fault() error {
	if e.Fault != nil {
		return e.Fault()
	}
	return nil
}

// Full says whether an error means that there is no room (R116).
func Full(err error) bool {
	return errors.Is(err, ErrFull) || errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// Store is a folder.
type Store struct {
	dir string
	env Env
}

// Open opens a folder, and makes it if it is not there. A store of a newer layout is left alone.
func Open(dir string, env Env) (*Store, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	path := filepath.Join(dir, "layout")
	text, err := os.ReadFile(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		if err := env.fault(); err != nil {
			return nil, err
		}
		if err := replace(path, []byte(version+"\n")); err != nil {
			return nil, err
		}
	case err != nil:
		return nil, err
	default:
		if n, err := strconv.Atoi(strings.TrimSpace(string(text))); err == nil && n > 1 {
			return nil, ErrNewer
		}
	}
	return &Store{dir: dir, env: env}, nil
}

// replace writes a small file as a whole or not at all.
func replace(path string, text []byte) error {
	temp := fmt.Sprintf("%s.%d.tmp", path, os.Getpid())
	if err := os.WriteFile(temp, text, 0o600); err != nil {
		os.Remove(temp)
		return err
	}
	return os.Rename(temp, path)
}

// Read reads a small file of the store that Write wrote; false if it is absent or damaged.
func (s *Store) Read(name string) ([]byte, bool) {
	text, err := os.ReadFile(filepath.Join(s.dir, name))
	if err != nil {
		return nil, false
	}
	return unwrap(text)
}

// Write keeps a small file.
func (s *Store) Write(name string, value []byte) error {
	if err := s.env.fault(); err != nil {
		return err
	}
	return replace(filepath.Join(s.dir, name), wrap(value))
}

// Queue is the log of one epoch with its claim.
type Queue struct {
	env        Env
	path       string
	claim      *os.File
	log        *os.File
	number     int
	generation int
	bytes      int64
}

const prefix = "queue-"

// NewQueue makes a queue for an epoch. content begins its log.
func (s *Store) NewQueue(epoch string, content []byte) (*Queue, error) {
	if err := s.env.fault(); err != nil {
		return nil, err
	}
	// It is made under another name, so that nobody finds it before it is claimed.
	temp := filepath.Join(s.dir, "new-"+epoch)
	if err := os.Mkdir(temp, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return nil, err
	}
	q := &Queue{env: s.env, path: temp}
	if err := q.take(); err != nil {
		os.RemoveAll(temp)
		return nil, err
	}
	if err := q.rewrite(content); err != nil {
		q.Close(true)
		return nil, err
	}
	path := filepath.Join(s.dir, prefix+epoch)
	if err := os.Rename(temp, path); err != nil {
		q.Close(true)
		return nil, err
	}
	q.path = path
	return q, nil
}

// take locks the claim and raises its generation (R112).
func (q *Queue) take() error {
	claim, err := lock(filepath.Join(q.path, "claim"))
	if err != nil {
		return err
	}
	text := make([]byte, 20)
	n, _ := claim.ReadAt(text, 0)
	before, _ := strconv.Atoi(strings.TrimSpace(string(text[:n])))
	q.claim, q.generation = claim, before+1
	if _, err := claim.WriteAt(q.stamp(), 0); err != nil {
		claim.Close()
		return err
	}
	return nil
}

func (q *Queue) stamp() []byte { return []byte(fmt.Sprintf("%019d\n", q.generation)) }

// holds says whether the claim still stands (R113).
func (q *Queue) holds() bool {
	ours, err := q.claim.Stat()
	if err != nil {
		return false
	}
	theirs, err := os.Stat(filepath.Join(q.path, "claim"))
	if err != nil || !os.SameFile(ours, theirs) {
		return false
	}
	text := make([]byte, 20)
	n, _ := q.claim.ReadAt(text, 0)
	return string(text[:n]) == string(q.stamp())
}

// Reserve writes that sequence numbers up to this one may be given (R111).
func (q *Queue) Reserve(seq int64) error {
	err := q.Append(Reserve(nil, seq), nil)
	if err == nil {
		q.env.point("reserved")
	}
	return err
}

// Append adds records, then a snapshot, which may be empty. After an error nothing of it is in the log.
func (q *Queue) Append(records, snapshot []byte) error {
	if !q.holds() {
		return ErrLost
	}
	if err := q.env.fault(); err != nil {
		return err
	}
	before := q.bytes
	err := q.append(records, snapshot)
	if err != nil {
		if q.log.Truncate(before) == nil {
			q.bytes = before
		}
	}
	return err
}

func (q *Queue) append(records, snapshot []byte) error {
	if q.env.Point == nil { // in production one write
		all := make([]byte, 0, len(records)+len(snapshot))
		return q.write(append(append(all, records...), snapshot...))
	}
	if len(snapshot) == 0 {
		return q.write(records)
	}
	if len(records) > 0 {
		q.env.point("append")
		half := len(records) / 2
		if err := q.write(records[:half]); err != nil {
			return err
		}
		q.env.point("append_torn")
		if err := q.write(records[half:]); err != nil {
			return err
		}
		q.env.point("appended")
	}
	if len(snapshot) > 0 {
		q.env.point("snapshot")
		return q.write(snapshot)
	}
	return nil
}

func (q *Queue) write(text []byte) error {
	if len(text) == 0 {
		return nil
	}
	n, err := q.log.WriteAt(text, q.bytes)
	q.bytes += int64(n)
	return err
}

// Rewrite replaces the log by records of what lives.
func (q *Queue) Rewrite(records []byte) error {
	if !q.holds() {
		return ErrLost
	}
	if err := q.env.fault(); err != nil {
		return err
	}
	return q.rewrite(records)
}

func (q *Queue) rewrite(records []byte) error {
	number := q.number + 1
	path := filepath.Join(q.path, fmt.Sprintf("log-%08d", number))
	log, err := os.OpenFile(path+".tmp", os.O_CREATE|os.O_RDWR|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	if _, err = log.Write(records); err == nil {
		err = os.Rename(path+".tmp", path)
	}
	if err != nil {
		log.Close()
		os.Remove(path + ".tmp")
		return err
	}
	if q.log != nil {
		q.log.Close()
		os.Remove(filepath.Join(q.path, fmt.Sprintf("log-%08d", q.number)))
	}
	q.log, q.number, q.bytes = log, number, int64(len(records))
	return nil
}

// Bytes is the size of the log.
func (q *Queue) Bytes() int64 { return q.bytes }

// Close ends the claim, and deletes the queue if nothing of it is needed any more.
func (q *Queue) Close(remove bool) {
	if remove {
		// The log goes first, so that nobody who finds the rest finds anything in it.
		for _, name := range logs(q.path) {
			os.Remove(filepath.Join(q.path, name))
		}
	}
	if q.log != nil {
		q.log.Close()
	}
	if remove {
		removeClaimed(q.path, q.claim)
		return
	}
	q.claim.Close()
}

func logs(path string) []string {
	entries, _ := os.ReadDir(path)
	var out []string
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), "log-") && !strings.HasSuffix(entry.Name(), ".tmp") {
			out = append(out, entry.Name())
		}
	}
	sort.Strings(out)
	return out
}

// Claimed is a dead queue that this process took over.
type Claimed struct {
	Queue *Queue
	Found *Found
}

// ClaimDead takes over queues whose holders are dead, oldest first (R112). more is asked before each.
// Queues that cannot be read are put aside (R117); problems are told to warn.
func (s *Store) ClaimDead(more func() bool, warn func(string, error)) []Claimed {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		warn("the store cannot be listed", err)
		return nil
	}
	var out []Claimed
	for _, entry := range entries {
		if !strings.HasPrefix(entry.Name(), prefix) || !more() {
			continue
		}
		path := filepath.Join(s.dir, entry.Name())
		q := &Queue{env: s.env, path: path}
		if err := q.take(); err != nil {
			continue // its holder lives
		}
		s.env.point("claimed")
		found, err := q.read()
		switch {
		case err == nil && found != nil:
			out = append(out, Claimed{Queue: q, Found: found})
		case err == nil: // an empty folder: somebody was deleting it
			q.Close(true)
		case errors.Is(err, ErrNewer):
			warn("a queue of a newer layout was left alone", err)
			q.Close(false)
		default:
			warn("a queue that cannot be read was put aside", err)
			q.Close(false)
			os.Rename(path, filepath.Join(s.dir, "bad-"+strings.TrimPrefix(entry.Name(), prefix)))
		}
	}
	return out
}

// read replays the newest log and cuts off what is torn.
func (q *Queue) read() (*Found, error) {
	names := logs(q.path)
	if len(names) == 0 {
		return nil, nil
	}
	name := names[len(names)-1]
	path := filepath.Join(q.path, name)
	log, err := os.OpenFile(path, os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(path)
	if err != nil {
		log.Close()
		return nil, err
	}
	found, err := Replay(text)
	if err != nil {
		log.Close()
		return nil, err
	}
	whole := int64(strings.LastIndexByte(string(text), '\n') + 1)
	if whole < int64(len(text)) {
		log.Truncate(whole)
	}
	q.log, q.bytes = log, whole
	q.number, _ = strconv.Atoi(strings.TrimPrefix(name, "log-"))
	return found, nil
}
