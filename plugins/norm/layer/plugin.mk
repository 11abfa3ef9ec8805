pkglib_LTLIBRARIES += plugins/norm_layer.la
plugins_norm_layer_la_SOURCES = plugins/norm/layer/layer.c plugins/norm/layer/layer_kernel.h
plugins_norm_layer_la_LDFLAGS = $(plugin_ldflags)
