pkglib_LTLIBRARIES += plugins/activation_gate.la
plugins_activation_gate_la_SOURCES = plugins/activation/gate/gate.c plugins/activation/gate/gate_kernel.h
plugins_activation_gate_la_LDFLAGS = $(plugin_ldflags)
