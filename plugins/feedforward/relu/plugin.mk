pkglib_LTLIBRARIES += plugins/feedforward_relu.la
plugins_feedforward_relu_la_SOURCES = plugins/feedforward/relu/relu.c plugins/feedforward/relu/relu_kernel.h
plugins_feedforward_relu_la_LDFLAGS = $(plugin_ldflags)
