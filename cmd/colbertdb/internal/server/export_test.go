package server

// Patterns are the routes, as "METHOD /path".
func (s *Server) Patterns() []string { return s.patterns }
