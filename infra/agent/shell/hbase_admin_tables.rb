# Words about tables: find them, describe them, change their state; drop clones.
#
# A part of hbase_admin.rb, where the whole is described; every word takes its request.
module HBaseTables
  # pattern: "namespace:table" with wildcards; system tables are left out.
  def tables(request)
    pattern = qualified(request.fetch('pattern'))
    found = pattern =~ /[*?]/ ? tables_like(pattern) : [descriptor_or_nil(pattern)].compact
    { 'tables' => found.map { |descriptor| summary_or_nil(descriptor) }.compact.sort_by { |table| table['table'] } }
  end

  # table → the summary, its families and attributes as HBase writes them.
  def describe(request)
    descriptor = @admin.getDescriptor(table_name(request))
    families = descriptor.getColumnFamilies.map do |family|
      { 'name' => family.getNameAsString, 'attributes' => attributes_of(family),
        'configuration' => family.getConfiguration.to_a.map { |k, v| [k.to_s, v.to_s] }.to_h }
    end
    summary(descriptor).merge('families' => families, 'attributes' => attributes_of(descriptor))
  end

  def flush(request)
    @admin.flush(table_name(request))
    {}
  end

  def disable(request)
    table = table_name(request)
    return {} if @admin.isTableDisabled(table)

    finish(@admin.disableTableAsync(table), request)
  end

  def enable(request)
    table = table_name(request)
    return {} if @admin.isTableEnabled(table)

    finish(@admin.enableTableAsync(table), request)
  end

  # table (in the scratch namespace alone; disabled), timeout_ms → whether it was there.
  def drop(request)
    table = table_name(request)
    raise Refused, "only #{SCRATCH_PREFIX}… may be dropped" unless request['table'].start_with?(SCRATCH_PREFIX)
    return { 'dropped' => false } unless @admin.tableExists(table)

    finish(@admin.deleteTableAsync(table), request)
    { 'dropped' => true }
  end

  # table; only asked for, it goes on in the background.
  def major_compact(request)
    @admin.majorCompact(table_name(request))
    {}
  end

  # table: one family "c", one version; nothing happens when it is there.
  def create_canary(request)
    table = table_name(request)
    raise Refused, 'the canary is in the namespace understudy' unless table.getNamespaceAsString == 'understudy'
    return { 'created' => false } if @admin.tableExists(table)

    ensure_namespace(table)
    builder = TableDescriptorBuilder.newBuilder(table)
    builder.setColumnFamily(ColumnFamilyDescriptorBuilder.of('c'))
    finish(@admin.createTableAsync(builder.build), request)
    { 'created' => true }
  end

  private

  def tables_like(pattern)
    namespace, _, name = pattern.partition(':')
    wanted = [java_pattern(namespace), java_pattern(name)]
    @admin.listTableDescriptors.select do |descriptor|
      table = descriptor.getTableName
      parts = [table.getNamespaceAsString, table.getQualifierAsString]
      !table.isSystemTable && parts.zip(wanted).all? { |part, regexp| regexp.matcher(part).matches }
    end
  end

  def descriptor_or_nil(name)
    table = TableName.valueOf(name)
    table.isSystemTable ? nil : @admin.getDescriptor(table)
  rescue org.apache.hadoop.hbase.TableNotFoundException
    nil
  end

  # A table may be dropped between two questions.
  def summary_or_nil(descriptor)
    summary(descriptor)
  rescue org.apache.hadoop.hbase.TableNotFoundException
    nil
  end

  def summary(descriptor)
    table = descriptor.getTableName
    {
      'table' => qualified(table.getNameAsString), 'state' => state_of(table),
      'families_count' => descriptor.getColumnFamilyCount, 'regions_count' => @admin.getRegions(table).size,
      'read_only' => descriptor.isReadOnly, 'region_replication' => descriptor.getRegionReplication,
      'coprocessors' => descriptor.getCoprocessorDescriptors.map(&:getClassName).sort
    }
  end

  def state_of(table)
    return 'ENABLED' if @admin.isTableEnabled(table)

    @admin.isTableDisabled(table) ? 'DISABLED' : 'CHANGING'
  end

  def attributes_of(descriptor)
    descriptor.getValues.map { |key, value| [text_of(key.get), text_of(value.get)] }.to_h
  end

  def text_of(bytes)
    String.from_java_bytes(bytes).force_encoding('UTF-8').scrub
  end

  def ensure_namespace(table)
    namespace = table.getNamespaceAsString
    return unless OWN_NAMESPACES.include?(namespace)
    return if @admin.listNamespaceDescriptors.any? { |found| found.getName == namespace }

    @admin.createNamespace(NamespaceDescriptor.create(namespace).build)
  rescue org.apache.hadoop.hbase.NamespaceExistException
    nil # another request was faster, which is as good
  end
end
